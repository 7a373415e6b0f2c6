// A model ready to be used by a command: files, tokenizer, weights, adapter. Tested by tests/finetune/commands_test.cc.
#include "finetune/model/load.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "finetune/kernels/device.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/grown.h"
#include "lora/adapter/start.h"
#include "lora/locate.h"

namespace finetune {

void ModelOptions::visit(base::OptionVisitor& v, bool one_adapter) {
  v("model", model,
    "a Hugging Face folder, a .gguf file or a name in the local cache; without it, the base that the adapter names",
    base::PathKind::kModel);
  if (one_adapter)
    v("adapter", adapter, "an adapter folder, or the output folder of a training run", base::PathKind::kModel);
  v.choice("dtype", dtype, {"auto", "float32", "bfloat16"}, "type of the weights: auto is bfloat16 on CUDA");
  visit_quantization(
      v, quantization,
      "how the base is kept: as it was trained, to compute the same; auto: the blocks of a GGUF on a CPU as they are",
      {"auto"});
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
  const std::filesystem::path folder = lora::adapter_folder(run_or_adapter);
  return lora::base_model_of(folder, "", "--model", lora::read_adapter_config(folder));
}

lora::Adapter load_adapter(const std::string& run_or_adapter, lora::ModelFiles& base, int threads) {
  const std::filesystem::path folder = lora::adapter_folder(run_or_adapter);
  lora::Adapter adapter = lora::with_names_of(base, lora::read_adapter(folder));
  lora::grow_for(base, adapter, folder);
  return lora::plain_adapter(std::move(adapter), base, threads);
}

LoadedModel load_model(const ModelOptions& options) {
  if (options.model.empty() && options.adapter.empty())
    throw base::UsageError({"no model", "--model", "", "a Hugging Face folder or a .gguf file", ""});
  set_threads(options.threads);
  at::Device device = choose_device(options.device);
  lora::ModelFiles files(options.model.empty() ? base_of(options.adapter) : options.model);
  std::string quantization = options.quantization;
  if (quantization == "auto") quantization = device.is_cpu() && has_blocks(files) ? "keep" : "none";
  lora::Adapter adapter;
  if (!options.adapter.empty()) adapter = load_adapter(options.adapter, files, options.threads);
  const std::filesystem::path folder = options.adapter.empty() ? "" : lora::adapter_folder(options.adapter);
  LoadedModel loaded{files.path(), lora::tokenizer_of(files, folder, options.chat.chat_template),
                     Transformer(files, choose_dtype(options.dtype, device), device, quantization_named(quantization))};
  if (!options.adapter.empty()) loaded.model.attach(adapter);
  return loaded;
}

}  // namespace finetune
