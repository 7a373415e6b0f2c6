// What the model writes while it trains: samples.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/records.h"
#include "finetune/data/data.h"
#include "finetune/model/model.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

struct SampleOptions {
  std::string sample_prompts;
  std::int64_t samples = 3, sample_tokens = 64;
  void visit(base::OptionVisitor& v);
};

struct SamplePrompt {
  std::vector<std::int32_t> ids;
  std::string text;         ///< with what the chat template writes around it
  std::string answer = "";  ///< what the data have, "": nothing
};

/// Of --sample-prompts (data/prompts.h), through the chat template where the tokenizer has one that can be used; else
/// the first documents of `validation` (of two, the first) that begin with something untrained, up to there. Throws
/// base::Error for a prompt that leaves no room in the context. `notes` gets what people should know of the prompts;
/// `text`, `roles`: of read_prompts.
std::vector<SamplePrompt> sample_prompts(const SampleOptions& options, const Examples& validation,
                                         const tokenizer::Tokenizer& tokenizer, std::int64_t context_length,
                                         std::string* notes = nullptr, const base::TextOptions& text = {},
                                         const std::vector<std::string>& roles = {});

/// Lines {"step":40,"prompt":"...","answer":"...","text":"..."}: what the model writes after each prompt, greedily.
class SampleLog {
 public:
  /// In `folder`: "samples.jsonl", without prompts none. Keeps the lines of an earlier run up to step `resume_step`.
  SampleLog(const std::filesystem::path& folder, std::optional<std::int64_t> resume_step,
            std::vector<SamplePrompt> prompts, std::int64_t tokens);
  /// Nothing where `step` has its lines already, or where `go_on` says no between two tokens.
  void write(const Transformer& model, const tokenizer::Tokenizer& tokenizer, std::int64_t step,
             const std::function<bool()>& go_on);

 private:
  std::filesystem::path path_;
  std::vector<SamplePrompt> prompts_;
  std::int64_t tokens_, last_step_ = -1;
  std::string lines_;
};

}  // namespace finetune
