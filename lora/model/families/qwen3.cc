// Qwen3, dense: LLaMA's block with norms of q and k and heads of a size of their own.
// Reference: transformers' modeling_qwen3.py, llama.cpp's LLM_ARCH_QWEN3.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include "lora/model/families/qwen.h"
#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {
namespace {

void qwen3_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config, {.context_length = 32768, .kv_heads = 32, .head_dim = 128});
  keys.vocabulary(config.vocab_size, 151936);
  qwen_windows(keys, config);
  keys.tied(config.tied_embeddings);
  keys.truth("attention_bias", config.attention_bias, false, {"blk.0.attn_q.bias"});
  keys.not_in_gguf(config.attention_bias, "biases of the attention");
  llama_tokens(keys, config, -1, -1);
}

ModelSpec qwen3_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec_as_it_is(config);
  norm_heads(spec, NormKind::kRms);
  return spec;
}

}  // namespace

const Family& qwen3_family() {
  static const Family family = {"qwen3", "Qwen3ForCausalLM", "qwen3", qwen3_keys, qwen3_spec};
  return family;
}

}  // namespace lora
