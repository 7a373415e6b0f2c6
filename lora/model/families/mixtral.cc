// Mixtral: Mistral's block with experts in place of the MLP. Reference: transformers' modeling_mixtral.py. In GGUF it
// is a "llama" with experts. Tested by tests/finetune/families_test.cc, tests/finetune/experts_test.cc and
// tests/lora/model/shapes_test.cc.
#include "lora/model/expert_shape.h"
#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {
namespace {

void mixtral_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config, {.context_length = 131072, .kv_heads = 8, .eps = 1e-5, .rope = {.theta = 1'000'000}});
  keys.vocabulary(config.vocab_size, 32000);
  expert_keys(keys, config, "num_local_experts", {8, 2});
  keys.size({"num_experts", nullptr}, config.experts, config.experts);  // transformers 5 takes it too
  config.expert_size = config.intermediate_size;
  config.renormalised_experts = true;
  keys.window(config.sliding_window, 0);
  keys.tied(config.tied_embeddings);
  keys.unused({"attention_bias", "mlp_bias", "layer_types", "router_jitter_noise"});
  llama_tokens(keys, config, 1, 2);
}

ModelSpec mixtral_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec(config);
  add_experts(spec, {"block_sparse_moe", "w1", "w3", "w2"});
  return spec;
}

}  // namespace

const Family& mixtral_family() {
  static const Family family = {"mixtral", "MixtralForCausalLM", "llama", mixtral_keys, mixtral_spec,
                                false,     "expert_count"};
  return family;
}

}  // namespace lora
