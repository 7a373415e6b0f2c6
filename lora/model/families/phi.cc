// Phi-1, Phi-1.5 and Phi-2: attention and MLP side by side behind one layer norm, biases everywhere, half of each head
// rotated. Reference: transformers' modeling_phi.py, llama.cpp's LLM_ARCH_PHI2.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include <fmt/format.h>

#include <algorithm>

#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {
namespace {

void phi_keys(ConfigKeys& keys, ModelConfig& config) {
  keys.size({"num_hidden_layers", "block_count"}, config.layers, 24);
  keys.size({"max_position_embeddings", "context_length"}, config.context_length, 2048);
  keys.size({"hidden_size", "embedding_length"}, config.hidden_size, 2048);
  keys.size({"intermediate_size", "feed_forward_length"}, config.intermediate_size, 8192);
  keys.size({"num_attention_heads", "attention.head_count"}, config.heads, 32);
  keys.size({"num_key_value_heads", "attention.head_count_kv"}, config.kv_heads, config.heads);
  keys.size({"head_dim", nullptr}, config.head_dim, std::max<std::int64_t>(1, config.hidden_size / config.heads));
  keys.not_in_gguf(config.head_dim * config.heads != config.hidden_size, "heads that are not the hidden size together");
  keys.number({"layer_norm_eps", "attention.layer_norm_epsilon"}, config.rms_norm_eps, 1e-5);
  keys.activation("hidden_act", config.activation, Activation::kGeluTanh);
  keys.rope(config, {.share = 0.5, .whole_heads = false});
  keys.vocabulary(config.vocab_size, 51200);
  keys.tied(config.tied_embeddings);
  keys.not_in_gguf(config.tied_embeddings, "a head that is the embedding");
  keys.truth("qk_layernorm", config.qk_norm, false, {"blk.0.attn_q_norm.weight"});
  keys.not_in_gguf(config.qk_norm, "norms of q and k");
  llama_tokens(keys, config, 1, 2);
}

ModelSpec phi_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec_as_it_is(config);
  spec.norm = {NormKind::kLayer, "model.final_layernorm", "output_norm"};
  spec.head_bias = true;
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    const std::string name = fmt::format("model.layers.{}.", i);
    BlockSpec& block = spec.blocks[i];
    block.attention_norm.kind = NormKind::kLayer;
    block.mlp_norm.kind = NormKind::kNone;
    block.parallel = true;
    block.mlp.gated = false;
    std::erase_if(block.linears, [](const LinearSpec& linear) { return linear.role == Role::kGate; });
    for (LinearSpec& linear : block.linears) {
      linear.bias = true;
      if (linear.role == Role::kAttentionOut) linear.name = name + "self_attn.dense";
      if (linear.role == Role::kUp) linear.name = name + "mlp.fc1";
      if (linear.role == Role::kDown) linear.name = name + "mlp.fc2";
    }
  }
  if (!config.qk_norm) return spec;
  norm_heads(spec, NormKind::kLayer);
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    const std::string name = fmt::format("model.layers.{}.self_attn.", i);
    spec.blocks[i].attention.q_norm.name = name + "q_layernorm";
    spec.blocks[i].attention.k_norm.name = name + "k_layernorm";
  }
  return spec;
}

}  // namespace

const Family& phi_family() {
  static const Family family = {"phi", "PhiForCausalLM", "phi2", phi_keys, phi_spec};
  return family;
}

}  // namespace lora
