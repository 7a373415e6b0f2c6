// What LLaMA's block shares with the families that follow it.
#pragma once

#include "lora/model/config_keys.h"
#include "lora/model/spec.h"

namespace lora {

/// What transformers' config class means by a key that is not there; 0 key heads: as many as heads.
struct SizeDefaults {
  std::int64_t context_length = 2048, kv_heads = 0;
};
/// The sizes that every family of this shape has, under LLaMA's names.
void llama_sizes(ConfigKeys& keys, ModelConfig& config, SizeDefaults defaults = {});
/// BOS, EOS and padding; `bos` and `eos` are what config.json means without the key, -1: none.
void llama_tokens(ConfigKeys& keys, ModelConfig& config, std::int64_t bos, std::int64_t eos);
/// Two RMS norms, q k v o, a gated MLP with SiLU, and the names that both formats use for them.
ModelSpec llama_spec(const ModelConfig& config);

}  // namespace lora
