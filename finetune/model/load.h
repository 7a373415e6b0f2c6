// A model ready to be used by a command: files, tokenizer, weights, adapter.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/program.h"
#include "finetune/model/model.h"
#include "tokenizer/chat/template_source.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

/// Of --quantization: as the run of the adapter kept the base.
inline constexpr const char* kAsTrained = "auto";

/// The options that every command with a ready model has.
struct ModelOptions {
  std::string model, adapter;
  std::string dtype = "auto", device = "auto";
  int threads = 0;
  tokenizer::TemplateOptions chat{};
  std::string quantization = kAsTrained;
  /// Without `one_adapter`, for commands that take several, `adapter` is no option.
  void visit(base::OptionVisitor& v, bool one_adapter = true);
};

struct LoadedModel {
  std::filesystem::path path;  ///< the folder or .gguf file of the base
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
  Transformer model;
  std::vector<std::string> notes{};  ///< of as_trained, and notes_of the adapter
};

/// The --quantization that computes what the adapter's run did: "nf4" or "int8" where it rounded the base so, which a
/// note says, else "none". A base whose numbers are packed by bitsandbytes stays as it is.
std::string as_trained(const std::string& run_or_adapter, const lora::ModelFiles& base,
                       std::vector<std::string>& notes);

/// Loads `options.model` (or, when it is empty, the base that the adapter names) with the adapter attached, if any.
/// Throws base::UsageError when neither is given, base::Error when something cannot be read or does not fit.
LoadedModel load_model(const ModelOptions& options);

/// Throws base::Error for an id that the model has no row for: a tokenizer of another model. LibTorch would say
/// "index out of range" on the CPU and end the process on CUDA.
void check_ids(std::span<const std::int32_t> ids, const lora::ModelConfig& config);

/// The text of what a model has drawn, special tokens left out. A padded vocabulary has rows that no token of the
/// tokenizer belongs to: like transformers and llama.cpp we draw them too, and like transformers' they give no text.
std::string text_of(std::vector<std::int32_t> ids, const tokenizer::Tokenizer& tokenizer);

/// The base model that the adapter names, where no --model was given.
std::string base_of(const std::string& run_or_adapter);
/// The adapter of a folder as a plain LoRA of `base`: the folder itself, or `adapter/` in it when it is the output of a
/// run. `base` grows by the tokens that the adapter was trained with and it has not (lora::grow_for).
lora::Adapter load_adapter(const std::string& run_or_adapter, lora::ModelFiles& base, int threads);

/// Whether two names of a base, paths or hub names, plainly mean two models: neither last part begins with the other
/// (a model may lie in any folder, and a GGUF is called MODEL-Q8_0.gguf), and they are not one place.
bool are_two_bases(const std::string& one, const std::string& other);
/// What of an adapter and the base that it is used with looks like a mistake; empty: nothing. `adapter`: as
/// load_adapter gave it.
std::vector<std::string> notes_of(const std::string& run_or_adapter, const lora::Adapter& adapter,
                                  const lora::ModelFiles& base);
void tell_notes(const std::vector<std::string>& notes, const base::Context& context);

}  // namespace finetune
