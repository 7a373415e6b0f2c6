// What the families of Gemma share.
#pragma once

#include "lora/model/config_keys.h"
#include "lora/model/llama_shape.h"

namespace lora {

/// Biases of the attention, and the tokens that all of them have.
void gemma_keys(ConfigKeys& keys, ModelConfig& config, std::int64_t vocabulary);
/// LLaMA's block with norms that hold weight - 1, a scaled embedding and a scale of the products q k.
ModelSpec gemma_spec(const ModelConfig& config);
/// Norms before and behind attention and MLP.
ModelSpec gemma_spec_of_four_norms(const ModelConfig& config);
/// "query_pre_attn_scalar"; llama.cpp knows one size of each model.
void gemma_scale(ConfigKeys& keys, ModelConfig& config, std::int64_t layers_of_largest);

}  // namespace lora
