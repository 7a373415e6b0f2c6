// The shape of a LLaMA-family model, from Hugging Face's config.json or from GGUF metadata.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/gguf.h"

namespace lora {

struct RopeScaling {
  std::string type = "default";  ///< "default", "linear" or "llama3"; anything else is refused when read
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  std::int64_t original_context = 8192;
  bool operator==(const RopeScaling&) const = default;
};

/// Sizes in elements. Fields as in transformers' LlamaConfig.
struct ModelConfig {
  std::string architecture = "llama";  ///< HF model_type
  std::int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, layers = 0, heads = 0, kv_heads = 0,
               head_dim = 0;
  std::int64_t context_length = 2048;
  double rms_norm_eps = 1e-6, rope_theta = 10000;
  RopeScaling rope_scaling;
  bool tied_embeddings = false, attention_bias = false, mlp_bias = false;
  std::int64_t bos = -1, eos = -1, pad = -1;  ///< -1: none
  bool operator==(const ModelConfig&) const = default;
};

/// Throws base::Error for an architecture, activation or rope type that we do not compute exactly.
ModelConfig config_from_json(const std::string& config_json, const std::string& file);
ModelConfig config_from_gguf(const base::GgufReader& file);
/// A config.json that transformers 4 and 5 both read; `dtype` is "float32", "bfloat16" or "float16".
std::string config_to_json(const ModelConfig& config, const std::string& dtype);

/// The hub name without the ending that says how it was quantised: "org/llama-3-8b" of "org/llama-3-8b-bnb-4bit". The
/// name itself when it has none.
std::string unquantised_name(const std::string& model);

/// llama3 rope as GGUF stores it (rope_freqs.weight): by how much the wave of each pair of dimensions is stretched,
/// [head_dim / 2]. Formula: transformers' modeling_rope_utils.
std::vector<float> rope_factors(const ModelConfig& config, const RopeScaling& scaling);

/// The linear modules of one layer, PEFT's names: "self_attn.q_proj" ... "mlp.down_proj", in forward order.
const std::vector<std::string>& linear_modules();
/// [out, in] of such a module.
std::pair<std::int64_t, std::int64_t> linear_shape(const ModelConfig& config, const std::string& module);
/// Module suffixes ("q_proj", ...) for PEFT-style targets: "all-linear", or any of the suffixes. Throws with a near
/// name.
std::vector<std::string> expand_targets(const std::vector<std::string>& targets);

}  // namespace lora
