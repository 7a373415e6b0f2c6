// The numbers of a decoder as its config file writes them: config.json, or the metadata of a GGUF.
// Tested by tests/lora/model/config_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/gguf.h"
#include "lora/model/rope.h"

namespace lora {

/// The largest size of any dimension; keeps every product within 64 bits.
inline constexpr std::int64_t kMostSize = std::int64_t{1} << 31;

/// Sizes in elements; names as in transformers' configs.
struct ModelConfig {
  std::string model_type = "llama";  ///< Hugging Face's name of the family
  std::int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, layers = 0, heads = 0, kv_heads = 0,
               head_dim = 0;
  std::int64_t context_length = 2048, sliding_window = 0;  ///< 0: no window
  double rms_norm_eps = 1e-6;
  RopeSpec rope;
  bool tied_embeddings = false, attention_bias = false, mlp_bias = false;
  std::int64_t bos = -1, eos = -1, pad = -1;  ///< -1: none
  bool operator==(const ModelConfig&) const = default;
};

using GgufMetadata = std::vector<std::pair<std::string, base::GgufValue>>;

/// Throws base::Error for a family, an activation or a rope type that we do not compute exactly.
ModelConfig config_from_json(const std::string& config_json, const std::string& file);
ModelConfig config_from_gguf(const base::GgufReader& file);
/// A config.json that transformers 4 and 5 both read; `dtype` is "float32", "bfloat16" or "float16".
std::string config_to_json(const ModelConfig& config, const std::string& dtype);
/// The family's keys of a GGUF, "llama.block_count" and so on, without general.* and tokenizer.*.
GgufMetadata config_to_gguf(const ModelConfig& config);

}  // namespace lora
