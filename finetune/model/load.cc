// A model ready to be used by a command: files, tokenizer, weights, adapter. Tested by tests/finetune/commands_test.cc.
#include "finetune/model/load.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>

#include "base/error.h"
#include "base/outputs.h"
#include "base/text.h"
#include "finetune/kernels/device.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/grown.h"
#include "lora/adapter/start.h"
#include "lora/locate.h"
#include "lora/model/hub.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// "smollm2-135m" of a path, a file or a hub name, also where it lies in the hub's cache.
std::string last_part(const std::string& name) {
  constexpr std::string_view kCached = "models--";
  const fs::path given = lora::without_separator(name);
  fs::path path = given;
  for (const fs::path& part : given)
    if (const std::string text = part.string(); text.starts_with(kCached)) path = text.substr(text.rfind("--") + 2);
  return base::ascii_lower(base::is_gguf_name(path) ? path.stem().string() : path.filename().string());
}

// As its run calls the base, where that is known; else as the adapter does.
std::string base_beside(const fs::path& folder, const lora::Adapter& adapter) {
  try {
    return lora::base_model_of(folder, "", "--model", adapter);
  } catch (const base::Error&) {  // not on this machine
    return adapter.base_model;
  }
}

}  // namespace

bool are_two_bases(const std::string& one, const std::string& other) {
  const std::string a = last_part(one), b = last_part(other);
  if (a.empty() || b.empty() || a.starts_with(b) || b.starts_with(a)) return false;
  std::error_code error;
  const fs::path place = lora::find_model(one), there = lora::find_model(other);
  return place.empty() || there.empty() || !fs::equivalent(place, there, error);
}

std::vector<std::string> notes_of(const std::string& run_or_adapter, const lora::Adapter& adapter,
                                  const lora::ModelFiles& base) {
  std::vector<std::string> notes;
  const fs::path folder = lora::adapter_folder(run_or_adapter);
  const std::string path = base.path().string();
  if (are_two_bases(adapter.base_model, path) && are_two_bases(base_beside(folder, adapter), path))
    notes.push_back(
        fmt::format("{} was trained on {}, and is used with {}: with another base it computes something else",
                    run_or_adapter, adapter.base_model, path));
  const bool is_peft{fs::exists(folder / "adapter_config.json") && fs::exists(folder / "adapter_model.safetensors")};
  if (is_peft && adapter.is_partial && !lora::read_adapter_config(folder).is_partial)
    notes.push_back(
        fmt::format("{} names modules of all layers, and has none of some that {} has: was it trained on a "
                    "smaller model?",
                    run_or_adapter, path));
  return notes;
}

void tell_notes(const std::vector<std::string>& notes, const base::Context& context) {
  if (context.quiet) return;
  for (const std::string& note : notes) fmt::print(context.err, "note: {}\n", note);
}

void ModelOptions::visit(base::OptionVisitor& v, bool one_adapter) {
  v("model", model,
    "a Hugging Face folder, a .gguf file or a name in the local cache; without it, the base that the adapter names",
    base::PathKind::kModel);
  if (one_adapter)
    v("adapter", adapter, "an adapter folder, or the output folder of a training run", base::PathKind::kModel);
  v.choice("dtype", dtype, {"auto", "float32", "bfloat16"}, "type of the weights: auto is bfloat16 on CUDA");
  visit_quantization(v, quantization,
                     "how the base is kept; auto: rounded as the adapter's run trained on it (nf4, int8), else the "
                     "blocks of a GGUF on "
                     "a CPU as they are",
                     {kAsTrained});
  v.choice("device", device, {"auto", "cpu", "cuda"}, "where to compute");
  v("threads", threads, "CPU threads, 0 = one a core").at_least(0);
  chat.visit(v);
}

void check_ids(std::span<const std::int32_t> ids, const lora::ModelConfig& config) {
  for (std::int32_t id : ids)
    if (id < 0 || id >= config.vocab_size)
      throw base::Error({"the tokenizer gives a token that the model does not have", "", std::to_string(id),
                         "below " + std::to_string(config.vocab_size),
                         "is the tokenizer another model's? If tokens were added to it, training gives them rows "
                         "(finetune train --new-tokens), and so does transformers' "
                         "model.resize_token_embeddings(len(tokenizer))"});
}

std::string text_of(std::vector<std::int32_t> ids, const tokenizer::Tokenizer& tokenizer) {
  std::erase_if(ids, [&](std::int32_t id) { return id >= tokenizer.size(); });
  return tokenizer.decode(ids, true);
}

std::string base_of(const std::string& run_or_adapter) {
  const fs::path folder = lora::adapter_folder(run_or_adapter);
  return lora::base_model_of(folder, "", "--model", lora::read_adapter_config(folder));
}

lora::Adapter load_adapter(const std::string& run_or_adapter, lora::ModelFiles& base, int threads) {
  const fs::path folder = lora::adapter_folder(run_or_adapter);
  lora::Adapter adapter = lora::with_names_of(base, lora::read_adapter(folder));
  lora::grow_for(base, adapter, folder);
  return lora::plain_adapter(std::move(adapter), base, threads);
}

std::string as_trained(const std::string& run_or_adapter, const lora::ModelFiles& base,
                       std::vector<std::string>& notes) {
  if (run_or_adapter.empty()) return "none";
  const std::string rounded = lora::rounded_base_of(lora::adapter_folder(run_or_adapter));
  const bool is_packed{
      std::ranges::any_of(base.names(), [&](const std::string& name) { return base.is_packed(name); })};
  if (rounded.empty() || is_packed) return "none";
  notes.push_back(
      fmt::format("the base is rounded to {} as it was in training; --quantization none: as it is", rounded));
  return rounded;
}

LoadedModel load_model(const ModelOptions& options) {
  if (options.model.empty() && options.adapter.empty())
    throw base::UsageError({"no model", "--model", "", "a Hugging Face folder or a .gguf file", ""});
  set_threads(options.threads);
  at::Device device = choose_device(options.device);
  lora::ModelFiles files(options.model.empty() ? base_of(options.adapter) : options.model);
  std::string quantization = options.quantization;
  std::vector<std::string> notes;
  if (quantization == kAsTrained) quantization = as_trained(options.adapter, files, notes);
  if (quantization == "none" && options.quantization == kAsTrained && device.is_cpu() && has_blocks(files))
    quantization = "keep";
  lora::Adapter adapter;
  if (!options.adapter.empty()) adapter = load_adapter(options.adapter, files, options.threads);
  const fs::path folder = options.adapter.empty() ? "" : lora::adapter_folder(options.adapter);
  LoadedModel loaded{files.path(), lora::tokenizer_of(files, folder, options.chat.chat_template),
                     Transformer(files, choose_dtype(options.dtype, device), device, quantization_named(quantization))};
  loaded.notes = std::move(notes);
  if (!options.adapter.empty()) {
    for (std::string& note : notes_of(options.adapter, adapter, files)) loaded.notes.push_back(std::move(note));
    loaded.model.attach(adapter);
  }
  return loaded;
}

}  // namespace finetune
