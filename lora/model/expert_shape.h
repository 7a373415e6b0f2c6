// What the families with experts share.
#pragma once

#include "lora/model/config_keys.h"
#include "lora/model/spec.h"

namespace lora {

/// What transformers' config class means by a key that is not there.
struct ExpertDefaults {
  std::int64_t count, chosen, size = 0;
};
/// The number of experts, under `count_key` in config.json, of those that a token goes through, and the routers' loss.
void expert_keys(ConfigKeys& keys, ModelConfig& config, const char* count_key, const ExpertDefaults& defaults);
/// The same and the sizes and layers that the families of Qwen name alike.
void qwen_expert_keys(ConfigKeys& keys, ModelConfig& config, const ExpertDefaults& defaults);

/// How Hugging Face's format names experts: "mlp", "gate_proj", ...
struct ExpertNames {
  const char *module, *gate, *up, *down;
};
/// Puts a router and experts of `config.expert_size` in the place of each block's MLP, but in `config.dense_layers`;
/// with `config.shared_expert_size` one more for all tokens, and its gate.
void add_experts(ModelSpec& spec, const ExpertNames& names);

}  // namespace lora
