// What LLaMA's block shares with the families that follow it. Reference: transformers' modeling_llama.py.
// Tested by tests/lora/model/config_test.cc and spec_test.cc.
#include "lora/model/llama_shape.h"

#include <fmt/format.h>

#include <algorithm>

namespace lora {
namespace {

AttentionSpec attention_of(const ModelConfig& config, std::int64_t layer) {
  const bool is_rotated{config.rotated_layers.empty() || config.rotated_layers.at(static_cast<std::size_t>(layer))};
  AttentionSpec attention;
  attention.heads = config.heads, attention.kv_heads = config.kv_heads;
  attention.head_dim = config.head_dim;
  attention.rotary_dim = is_rotated ? config.turned_dim() : 0;
  attention.window = config.slides(layer) ? config.sliding_window : 0;
  attention.rope = config.slides(layer) && config.local_rope ? *config.local_rope : config.rope;
  return attention;
}

BlockSpec block_of(const ModelConfig& config, std::int64_t layer) {
  const std::string name = fmt::format("model.layers.{}.", layer), gguf = fmt::format("blk.{}.", layer);
  const std::int64_t hidden{config.hidden_size}, inner{config.intermediate_size};
  const std::int64_t query{config.heads * config.head_dim}, key{config.kv_heads * config.head_dim};
  const bool attention_bias{config.attention_bias}, mlp_bias{config.mlp_bias};
  BlockSpec block;
  block.attention_norm = {NormKind::kRms, name + "input_layernorm", gguf + "attn_norm"};
  block.mlp_norm = {NormKind::kRms, name + "post_attention_layernorm", gguf + "ffn_norm"};
  block.attention = attention_of(config, layer);
  block.mlp.activation = config.activation;
  const auto add = [&](Role role, const char* module, const char* its_gguf, std::int64_t out, std::int64_t in,
                       bool bias, std::int64_t heads = 0) {
    block.linears.push_back({role, name + module, gguf + its_gguf, out, in, bias, Rows::kPlain, heads});
  };
  add(Role::kQuery, "self_attn.q_proj", "attn_q", query, hidden, attention_bias, config.heads);
  add(Role::kKey, "self_attn.k_proj", "attn_k", key, hidden, attention_bias, config.kv_heads);
  add(Role::kValue, "self_attn.v_proj", "attn_v", key, hidden, attention_bias);
  add(Role::kAttentionOut, "self_attn.o_proj", "attn_output", hidden, query, attention_bias);
  add(Role::kGate, "mlp.gate_proj", "ffn_gate", inner, hidden, mlp_bias);
  add(Role::kUp, "mlp.up_proj", "ffn_up", inner, hidden, mlp_bias);
  add(Role::kDown, "mlp.down_proj", "ffn_down", hidden, inner, mlp_bias);
  return block;
}

}  // namespace

void llama_sizes(ConfigKeys& keys, ModelConfig& config, SizeDefaults defaults) {
  keys.size({"num_hidden_layers", "block_count"}, config.layers);
  keys.size({"max_position_embeddings", "context_length"}, config.context_length, defaults.context_length);
  keys.size({"hidden_size", "embedding_length"}, config.hidden_size);
  keys.size({"intermediate_size", "feed_forward_length"}, config.intermediate_size);
  keys.size({"num_attention_heads", "attention.head_count"}, config.heads);
  keys.size({"num_key_value_heads", "attention.head_count_kv"}, config.kv_heads,
            defaults.kv_heads ? defaults.kv_heads : config.heads);
  keys.size({"head_dim", "attention.key_length"}, config.head_dim,
            defaults.head_dim
                ? defaults.head_dim
                : std::max<std::int64_t>(1, config.hidden_size / std::max<std::int64_t>(1, config.heads)));
  keys.same("attention.value_length", config.head_dim, "the same as key_length");
  keys.number({"rms_norm_eps", "attention.layer_norm_rms_epsilon"}, config.rms_norm_eps, defaults.eps);
  keys.activation(defaults.activation_key, config.activation, defaults.activation);
  keys.rope(config, defaults.rope);
}

void llama_tokens(ConfigKeys& keys, ModelConfig& config, std::int64_t bos, std::int64_t eos, std::int64_t pad) {
  keys.token({"bos_token_id", "bos_token_id"}, config.bos, bos);
  keys.token({"eos_token_id", "eos_token_id"}, config.eos, eos);
  keys.token({"pad_token_id", "padding_token_id"}, config.pad, pad);
}

ModelSpec llama_spec(const ModelConfig& config) {
  ModelSpec spec;
  spec.config = config;
  spec.embedding = "model.embed_tokens", spec.embedding_gguf = "token_embd";
  spec.head = "lm_head", spec.head_gguf = "output";
  spec.norm = {NormKind::kRms, "model.norm", "output_norm"};
  for (std::int64_t i = 0; i < config.layers; ++i) spec.blocks.push_back(block_of(config, i));
  return spec;
}

ModelSpec llama_spec_as_it_is(const ModelConfig& config) {
  ModelSpec spec = llama_spec(config);
  for (BlockSpec& block : spec.blocks)
    for (LinearSpec& linear : block.linears) linear.interleaved_heads = 0;
  return spec;
}

void norm_heads(ModelSpec& spec, NormKind kind) {
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    const std::string name = fmt::format("model.layers.{}.self_attn.", i), gguf = fmt::format("blk.{}.", i);
    spec.blocks[i].attention.q_norm = {kind, name + "q_norm", gguf + "attn_q_norm"};
    spec.blocks[i].attention.k_norm = {kind, name + "k_norm", gguf + "attn_k_norm"};
  }
}

}  // namespace lora
