// Qwen2 and Qwen2.5: LLaMA's block with biases on q, k and v; a GGUF keeps the rows of q and k as they are.
// Reference: transformers' modeling_qwen2.py, llama.cpp's LLM_ARCH_QWEN2. Tested by tests/lora/model/qwen2_test.cc.
#include "lora/model/families/qwen.h"
#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {

void qwen_windows(ConfigKeys& keys, ModelConfig& config) {
  keys.window(config.sliding_window, 4096);
  bool has_window{config.sliding_window != 0};
  keys.truth("use_sliding_window", has_window, false, {});
  if (!has_window) config.sliding_window = 0;
  std::int64_t first = 0;
  while (first < config.layers && !config.slides(first)) ++first;
  keys.integer({"max_window_layers", nullptr}, first, 28);
  keys.window_layers(
      config, [first](std::int64_t layer) { return layer >= first; }, [](std::int64_t) { return true; });
  keys.unused({"use_mrope"});
}

namespace {

void qwen2_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config, {.context_length = 32768, .kv_heads = 32});
  keys.vocabulary(config.vocab_size, 151936);
  qwen_windows(keys, config);
  keys.tied(config.tied_embeddings);
  keys.unused({"attention_bias"});
  llama_tokens(keys, config, -1, -1);
}

ModelSpec qwen2_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec_as_it_is(config);
  for (BlockSpec& block : spec.blocks)
    for (LinearSpec& linear : block.linears)
      linear.bias = linear.role == Role::kQuery || linear.role == Role::kKey || linear.role == Role::kValue;
  return spec;
}

}  // namespace

const Family& qwen2_family() {
  static const Family family = {"qwen2", "Qwen2ForCausalLM", "qwen2", qwen2_keys, qwen2_spec};
  return family;
}

}  // namespace lora
