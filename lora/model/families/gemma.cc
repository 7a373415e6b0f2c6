// Gemma 1: LLaMA's block with norms that hold weight - 1, a scaled embedding and GeGLU.
// Reference: transformers' modeling_gemma.py, llama.cpp's LLM_ARCH_GEMMA.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include "lora/model/families/gemma.h"

#include <cmath>

#include "lora/model/family.h"

namespace lora {

void gemma_keys(ConfigKeys& keys, ModelConfig& config, std::int64_t vocabulary) {
  keys.vocabulary(config.vocab_size, vocabulary);
  keys.tied(config.tied_embeddings, true);
  keys.truth("attention_bias", config.attention_bias, false, {"blk.0.attn_q.bias"});
  keys.not_in_gguf(config.attention_bias, "biases of the attention");
  llama_tokens(keys, config, 2, 1, 0);
}

void gemma_scale(ConfigKeys& keys, ModelConfig& config, std::int64_t layers_of_largest) {
  const std::int64_t usual{config.layers == layers_of_largest ? config.hidden_size / config.heads : config.head_dim};
  if (config.query_scalar == 0) config.query_scalar = usual;
  keys.integer({"query_pre_attn_scalar", nullptr}, config.query_scalar, 256);
  keys.not_in_gguf(config.query_scalar != usual, "another query_pre_attn_scalar than a model of this size has");
}

ModelSpec gemma_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec_as_it_is(config);
  spec.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
  spec.norm.kind = NormKind::kRmsPlusOne;
  for (BlockSpec& block : spec.blocks) {
    block.attention_norm.kind = block.mlp_norm.kind = NormKind::kRmsPlusOne;
    if (config.query_scalar != 0) block.attention.scale = 1 / std::sqrt(static_cast<double>(config.query_scalar));
  }
  return spec;
}

ModelSpec gemma_spec_of_four_norms(const ModelConfig& config) {
  ModelSpec spec = gemma_spec(config);
  spec.logit_softcap = config.logit_softcap;
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    const std::string name = "model.layers." + std::to_string(i) + ".", gguf = "blk." + std::to_string(i) + ".";
    BlockSpec& block = spec.blocks[i];
    block.attention.softcap = config.attention_softcap;
    block.attention_post_norm = {NormKind::kRmsPlusOne, name + "post_attention_layernorm",
                                 gguf + "post_attention_norm"};
    block.mlp_norm.name = name + "pre_feedforward_layernorm";
    block.mlp_post_norm = {NormKind::kRmsPlusOne, name + "post_feedforward_layernorm", gguf + "post_ffw_norm"};
  }
  return spec;
}

const Family& gemma_family() {
  static const Family family = {
      "gemma", "GemmaForCausalLM", "gemma",
      [](ConfigKeys& keys, ModelConfig& config) {
        llama_sizes(keys, config,
                    {.context_length = 8192, .kv_heads = 16, .head_dim = 256, .activation = Activation::kGeluTanh});
        keys.activation("hidden_activation", config.activation, config.activation);
        if (config.activation == Activation::kGelu) config.activation = Activation::kGeluTanh;  // as transformers does
        gemma_keys(keys, config, 256000);
      },
      gemma_spec};
  return family;
}

}  // namespace lora
