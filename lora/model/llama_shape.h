// What LLaMA's block shares with the families that follow it.
#pragma once

#include "lora/model/config_keys.h"
#include "lora/model/spec.h"

namespace lora {

/// What transformers' config class means by a key that is not there; 0 key heads: as many as heads; 0 head_dim:
/// hidden / heads.
struct SizeDefaults {
  std::int64_t context_length = 2048, kv_heads = 0, head_dim = 0;
  double eps = 1e-6;
  Activation activation = Activation::kSilu;
  const char* activation_key = "hidden_act";
  RopeDefaults rope{};
};
/// The sizes that every family of this shape has, under LLaMA's names.
void llama_sizes(ConfigKeys& keys, ModelConfig& config, SizeDefaults defaults = {});
/// BOS, EOS and padding; what config.json means without the key, -1: none.
void llama_tokens(ConfigKeys& keys, ModelConfig& config, std::int64_t bos, std::int64_t eos, std::int64_t pad = -1);
/// Two RMS norms, q k v o, a gated MLP, and the names that both formats use for them.
ModelSpec llama_spec(const ModelConfig& config);
/// What llama_spec gives, with the rows of q and k in a GGUF as they are in Hugging Face's format.
ModelSpec llama_spec_as_it_is(const ModelConfig& config);
/// Norms of q and k, of each head.
void norm_heads(ModelSpec& spec, NormKind kind);

}  // namespace lora
