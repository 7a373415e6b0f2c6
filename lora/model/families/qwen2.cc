// Qwen2 and Qwen2.5: LLaMA's block with biases on q, k and v; a GGUF keeps the rows of q and k as they are.
// Reference: transformers' modeling_qwen2.py, llama.cpp's LLM_ARCH_QWEN2. Tested by tests/lora/model/qwen2_test.cc.
#include "lora/model/families/llama.h"
#include "lora/model/family.h"

namespace lora {
namespace {

void qwen2_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config, {.context_length = 32768, .kv_heads = 32});
  keys.vocabulary(config.vocab_size, 151936);
  bool has_window = false;
  keys.truth("use_sliding_window", has_window, false, {});
  if (has_window) keys.window(config.sliding_window, 4096);
  keys.only({nullptr, "attention.sliding_window"}, 0, "no window");
  keys.tied(config.tied_embeddings);
  llama_tokens(keys, config, -1, -1);
}

ModelSpec qwen2_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec(config);
  for (BlockSpec& block : spec.blocks)
    for (LinearSpec& linear : block.linears) {
      linear.bias = linear.role == Role::kQuery || linear.role == Role::kKey || linear.role == Role::kValue;
      linear.interleaved_heads = 0;
    }
  return spec;
}

}  // namespace

const Family& qwen2_family() {
  static const Family family = {"qwen2", "Qwen2ForCausalLM", "qwen2", qwen2_keys, qwen2_spec};
  return family;
}

}  // namespace lora
