// Qwen3 with experts: Qwen3's block with a router in the place of the MLP.
// Reference: transformers' modeling_qwen3_moe.py, llama.cpp's LLM_ARCH_QWEN3MOE.
// Tested by tests/finetune/families_test.cc, tests/finetune/experts_test.cc and tests/lora/model/shapes_test.cc.
#include "lora/model/expert_shape.h"
#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {
namespace {

void qwen3_moe_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config, {.context_length = 32768, .kv_heads = 4});
  keys.vocabulary(config.vocab_size, 151936);
  qwen_expert_keys(keys, config, {128, 8, 768});
  // llama.cpp knows no other.
  keys.truth("norm_topk_prob", config.renormalised_experts, false, {"blk.0.ffn_gate_inp.weight"});
  keys.not_in_gguf(!config.renormalised_experts, "weights of experts that do not add up to 1");
  keys.window(config.sliding_window, 4096);
  bool has_window{config.sliding_window != 0};
  keys.truth("use_sliding_window", has_window, false, {});
  if (!has_window) config.sliding_window = 0;
  keys.unused({"max_window_layers", "layer_types", "qkv_bias", "use_qk_norm", "shared_expert_intermediate_size"});
  keys.tied(config.tied_embeddings);
  keys.truth("attention_bias", config.attention_bias, false, {"blk.0.attn_q.bias"});
  keys.not_in_gguf(config.attention_bias, "biases of the attention");
  llama_tokens(keys, config, -1, -1);
}

ModelSpec qwen3_moe_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec_as_it_is(config);
  norm_heads(spec, NormKind::kRms);
  add_experts(spec, {"mlp", "gate_proj", "up_proj", "down_proj"});
  return spec;
}

}  // namespace

const Family& qwen3_moe_family() {
  static const Family family = {"qwen3_moe", "Qwen3MoeForCausalLM", "qwen3moe", qwen3_moe_keys, qwen3_moe_spec};
  return family;
}

}  // namespace lora
