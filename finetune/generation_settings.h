// What a model says about how it wants to be sampled.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "finetune/model/sampling.h"

namespace finetune {

/// generation_config.json of a Hugging Face folder; general.sampling.* of a GGUF.
struct GenerationSettings {
  std::string source;  ///< "generation_config.json", "GGUF metadata", or "" when it says nothing about sampling
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::int64_t> top_k, no_repeat_ngram_size, max_tokens;
  std::vector<std::string> unused;  ///< "num_beams: 4": said, changes what comes out, and not done here
};

/// Of a Hugging Face folder or a .gguf file. As in transformers, sampling settings count where `do_sample` is true (and
/// the rest then has its defaults: temperature 1, top_k 50), and penalties always. Throws base::Error for a value of
/// the wrong kind.
GenerationSettings read_generation_settings(const std::filesystem::path& model);

/// Sets the options that were not given (`given` may be nullptr: none was) to what the model says. Where neither says
/// it, repetition_penalty becomes kRepetitionPenalty. Throws base::UsageError for an option that was given in vain: one
/// of sampling, where the most probable token is taken.
void complete(SamplingOptions& options, const GenerationSettings& settings, const base::OptionSet* given);

/// What stops small models from going in circles when they always take the most probable token.
constexpr double kRepetitionPenalty = 1.1;

/// "temperature 0.6, top-p 0.9, repetition penalty 1.1" for people.
std::string to_text(const SamplingOptions& options);

}  // namespace finetune
