#include "finetune/load.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "finetune/device.h"

namespace finetune {

void ModelOptions::visit(base::OptionVisitor& v) {
  v("model", model,
    "a Hugging Face folder, a .gguf file or a name in the local cache; without it, the base that the adapter names",
    base::PathKind::kModel);
  v("adapter", adapter, "an adapter folder, or the output folder of a training run", base::PathKind::kModel);
  v.choice("dtype", dtype, {"auto", "float32", "bfloat16"}, "type of the weights: auto is bfloat16 on CUDA");
  v.choice("device", device, {"auto", "cpu", "cuda"}, "where to compute");
  v("threads", threads, "CPU threads, 0 = one a core").at_least(0);
}

void check_ids(std::span<const std::int32_t> ids, const lora::ModelConfig& config) {
  for (std::int32_t id : ids)
    if (id < 0 || id >= config.vocab_size)
      throw base::Error({"the tokenizer gives a token that the model does not have", "", std::to_string(id),
                         "below " + std::to_string(config.vocab_size), "is the tokenizer another model's?"});
}

lora::Adapter load_adapter(const std::filesystem::path& run_or_adapter) {
  bool is_run = !std::filesystem::exists(run_or_adapter / "adapter_config.json") &&
                std::filesystem::exists(run_or_adapter / "adapter" / "adapter_config.json");
  return lora::read_adapter(is_run ? run_or_adapter / "adapter" : run_or_adapter);
}

LoadedModel load_model(const ModelOptions& options) {
  if (options.model.empty() && options.adapter.empty())
    throw base::UsageError({"no model", "--model", "", "a Hugging Face folder or a .gguf file", ""});
  lora::Adapter adapter;
  if (!options.adapter.empty()) adapter = load_adapter(options.adapter);
  std::string name = options.model.empty() ? adapter.base_model : options.model;
  if (name.empty())
    throw base::UsageError({"the adapter does not name its base model", options.adapter, "", "", "give --model"});
  set_threads(options.threads);
  at::Device device = choose_device(options.device);
  lora::ModelFiles files(name);
  LoadedModel loaded{files.path(), tokenizer::load(files.path()),
                     Llama(files, choose_dtype(options.dtype, device), device)};
  if (!options.adapter.empty()) loaded.model.attach(adapter);
  return loaded;
}

}  // namespace finetune
