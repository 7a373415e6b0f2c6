// Qwen1.5-MoE and Qwen2-MoE: Qwen2's block with experts, and one more that all tokens go through.
// Reference: transformers' modeling_qwen2_moe.py, llama.cpp's LLM_ARCH_QWEN2MOE.
// Tested by tests/finetune/families_test.cc, tests/finetune/experts_test.cc and tests/lora/model/shapes_test.cc.
#include "lora/model/expert_shape.h"
#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {

namespace {

// The class of transformers 5 gives every second of the first max_window_layers a window.
void qwen2_moe_windows(ConfigKeys& keys, ModelConfig& config) {
  keys.window(config.sliding_window, 4096);
  bool has_window{config.sliding_window != 0};
  keys.truth("use_sliding_window", has_window, false, {});
  if (!has_window) config.sliding_window = 0;
  std::int64_t end = 28;
  keys.integer({"max_window_layers", nullptr}, end, end);
  keys.window_layers(
      config, [end](std::int64_t layer) { return layer % 2 == 0 && layer < end; }, [](std::int64_t) { return true; });
}

void qwen2_moe_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config, {.context_length = 32768, .kv_heads = 16});
  keys.not_in_gguf(config.head_dim * config.heads != config.hidden_size, "heads that are not the hidden size together");
  keys.vocabulary(config.vocab_size, 151936);
  qwen_expert_keys(keys, config, {60, 4, 1408});
  keys.size({"shared_expert_intermediate_size", "expert_shared_feed_forward_length"}, config.shared_expert_size, 5632);
  keys.truth("norm_topk_prob", config.renormalised_experts, false, {});
  keys.not_in_gguf(config.renormalised_experts, "weights of experts that add up to 1");
  qwen2_moe_windows(keys, config);
  keys.tied(config.tied_embeddings);
  keys.truth("qkv_bias", config.attention_bias, true, {"blk.0.attn_q.bias"});
  keys.unused({"attention_bias", "use_mrope"});
  llama_tokens(keys, config, -1, -1);
}

ModelSpec qwen2_moe_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec_as_it_is(config);
  for (BlockSpec& block : spec.blocks)
    for (LinearSpec& linear : block.linears)
      if (linear.role == Role::kAttentionOut) linear.bias = false;
  add_experts(spec, {"mlp", "gate_proj", "up_proj", "down_proj"});
  return spec;
}

}  // namespace

const Family& qwen2_moe_family() {
  static const Family family = {"qwen2_moe", "Qwen2MoeForCausalLM", "qwen2moe", qwen2_moe_keys, qwen2_moe_spec};
  return family;
}

}  // namespace lora
