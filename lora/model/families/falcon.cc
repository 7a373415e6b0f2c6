// Falcon: layer norms, attention and MLP side by side or one behind the other, q, k and v in one matrix by key heads.
// Reference: transformers' modeling_falcon.py (ALiBi as its sdpa path computes it), llama.cpp's LLM_ARCH_FALCON.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include <fmt/format.h>

#include <algorithm>

#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {
namespace {

// "num_kv_heads" holds in the new form; the old one has one key head or as many as heads.
void read_heads(ConfigKeys& keys, ModelConfig& config) {
  keys.truth("new_decoder_architecture", config.grouped_heads, false, {"blk.0.attn_norm_2.weight"});
  const std::int64_t norms{config.grouped_heads ? 2 : 1};
  if (config.norms == 0) config.norms = norms;
  keys.integer({"num_ln_in_parallel_attn", nullptr}, config.norms, norms);
  keys.size({"num_kv_heads", "attention.head_count_kv"}, config.kv_heads, config.heads);
  bool is_shared{!config.grouped_heads && config.kv_heads == 1};
  keys.truth("multi_query", is_shared, true, {});
  if (!config.grouped_heads && is_shared) config.kv_heads = 1;
  // Of a GGUF with one norm a block (11B) only the number of key heads tells.
  config.grouped_heads |= config.kv_heads != 1 && config.kv_heads != config.heads;
  keys.truth("parallel_attn", config.parallel, true, {});
  if (!config.parallel || !config.grouped_heads) config.norms = config.parallel ? 1 : 2;
}

void falcon_keys(ConfigKeys& keys, ModelConfig& config) {
  keys.size({"num_hidden_layers", "block_count"}, config.layers, 32);
  keys.size({"max_position_embeddings", "context_length"}, config.context_length, 2048);
  keys.size({"hidden_size", "embedding_length"}, config.hidden_size, 4544);
  keys.size({"num_attention_heads", "attention.head_count"}, config.heads, 71);
  keys.size({"ffn_hidden_size", "feed_forward_length"}, config.intermediate_size, 4 * config.hidden_size);
  if (config.head_dim == 0) config.head_dim = std::max<std::int64_t>(1, config.hidden_size / config.heads);
  config.parallel |= config.layers > 0 && config.norms == 0;  // llama.cpp knows no other
  read_heads(keys, config);
  keys.number({"layer_norm_epsilon", "attention.layer_norm_epsilon"}, config.rms_norm_eps, 1e-5);
  keys.activation("activation", config.activation, Activation::kGelu);
  keys.vocabulary(config.vocab_size, 65024);
  keys.truth("alibi", config.alibi, false, {});
  keys.rope(config, {});
  keys.truth("bias", config.attention_bias, false, {"blk.0.attn_qkv.bias"});
  config.mlp_bias = config.attention_bias;
  keys.tied(config.tied_embeddings, true);
  keys.not_in_gguf(config.alibi || !config.parallel || config.attention_bias, "ALiBi, biases or a serial block");
  keys.unused({"apply_residual_connection_post_layernorm", "ff_factor", "intermediate_size", "num_key_value_heads"});
  llama_tokens(keys, config, 11, 11);
}

BlockSpec block_of(const ModelConfig& config, std::int64_t layer) {
  const std::string name = fmt::format("transformer.h.{}.", layer), gguf = fmt::format("blk.{}.", layer);
  const std::int64_t hidden{config.hidden_size}, inner{config.intermediate_size};
  const bool bias{config.attention_bias};
  BlockSpec block;
  block.parallel = config.parallel;
  if (!config.parallel) {
    block.attention_norm = {NormKind::kLayer, name + "input_layernorm", gguf + "attn_norm"};
    block.mlp_norm = {NormKind::kLayer, name + "post_attention_layernorm", gguf + "ffn_norm"};
  } else if (config.norms == 2) {
    block.attention_norm = {NormKind::kLayer, name + "ln_attn", gguf + "attn_norm_2"};
    block.mlp_norm = {NormKind::kLayer, name + "ln_mlp", gguf + "attn_norm"};
  } else {
    block.attention_norm = {NormKind::kLayer, name + "input_layernorm", gguf + "attn_norm"};
  }
  AttentionSpec& attention = block.attention;
  attention.heads = config.heads, attention.kv_heads = config.kv_heads, attention.head_dim = config.head_dim;
  attention.rotary_dim = config.alibi ? 0 : config.head_dim;
  attention.rope = config.rope;
  if (config.alibi) attention.slopes = alibi_slopes(config.heads);
  block.mlp = {config.activation, false, 0, 0};
  const std::int64_t joined{(config.heads + 2 * config.kv_heads) * config.head_dim};
  block.linears = {{Role::kQuery, name + "self_attention.query_key_value", gguf + "attn_qkv", joined, hidden, bias,
                    Rows::kQkvPerKeyHead},
                   {Role::kAttentionOut, name + "self_attention.dense", gguf + "attn_output", hidden,
                    config.heads * config.head_dim, bias},
                   {Role::kUp, name + "mlp.dense_h_to_4h", gguf + "ffn_up", inner, hidden, bias},
                   {Role::kDown, name + "mlp.dense_4h_to_h", gguf + "ffn_down", hidden, inner, bias}};
  return block;
}

ModelSpec falcon_spec(const ModelConfig& config) {
  ModelSpec spec;
  spec.config = config;
  spec.embedding = "transformer.word_embeddings", spec.embedding_gguf = "token_embd";
  spec.head = "lm_head", spec.head_gguf = "output";
  spec.norm = {NormKind::kLayer, "transformer.ln_f", "output_norm"};
  for (std::int64_t i = 0; i < config.layers; ++i) spec.blocks.push_back(block_of(config, i));
  return spec;
}

}  // namespace

const Family& falcon_family() {
  static const Family family = {"falcon", "FalconForCausalLM", "falcon", falcon_keys, falcon_spec};
  return family;
}

}  // namespace lora
