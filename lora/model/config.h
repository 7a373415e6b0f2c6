// The numbers of a decoder as its config file writes them: config.json, or the metadata of a GGUF.
// Tested by tests/lora/model/config_test.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/gguf.h"
#include "lora/model/rope.h"

namespace lora {

/// The largest size of any dimension; keeps every product within 64 bits.
inline constexpr std::int64_t kMostSize = std::int64_t{1} << 31;

enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };  // kGeluTanh: also called gelu_new

/// Sizes in elements; names as in transformers' configs.
struct ModelConfig {
  std::string model_type = "llama";  ///< Hugging Face's name of the family
  std::string wrapper;               ///< of the whole that this is the text model of (lora/model/wrapper.h); "": none
  std::int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, layers = 0, heads = 0, kv_heads = 0,
               head_dim = 0;
  std::int64_t rotary_dim = 0;  ///< the first ones of a head that are rotated, 0: all
  std::int64_t context_length = 2048;
  std::int64_t sliding_window = 0;  ///< 0: no window
  /// Of each layer, whether the window holds in it, and whether it knows positions; empty: in all layers.
  std::vector<bool> sliding_layers, rotated_layers;
  double rms_norm_eps = 1e-6;  ///< of layer norms too
  RopeSpec rope;
  std::optional<RopeSpec> local_rope;  ///< of layers with a window, where they have their own
  Activation activation = Activation::kSilu;
  std::int64_t query_scalar = 0;                    ///< products q k are divided by its root; 0: by that of head_dim
  double attention_softcap = 0, logit_softcap = 0;  ///< 0: none
  bool tied_embeddings = false, attention_bias = false, mlp_bias = false, qk_norm = false;
  bool parallel = false, alibi = false;  ///< Falcon's, as are the next two
  bool grouped_heads = false;            ///< "new_decoder_architecture"
  std::int64_t norms = 0;                ///< of a block; 0: as the family has them
  /// Of a layer, and how many of them a token goes through; 0: an MLP in all layers.
  std::int64_t experts = 0, chosen_experts = 0;
  std::int64_t expert_size = 0, shared_expert_size = 0;  ///< as intermediate_size; of one for all tokens, 0: none
  bool renormalised_experts = false;                     ///< the weights of a token's experts are made to add up to 1
  std::vector<std::int64_t> dense_layers;                ///< those with an MLP in a model of experts
  bool router_loss = false;                              ///< training evens out the experts, by this weight
  double router_loss_weight = 0.001;
  std::int64_t bos = -1, eos = -1, pad = -1;  ///< -1: none
  bool operator==(const ModelConfig&) const = default;

  std::int64_t turned_dim() const { return rotary_dim == 0 ? head_dim : rotary_dim; }
  bool slides(std::int64_t layer) const {
    return sliding_window != 0 && (sliding_layers.empty() || sliding_layers.at(static_cast<std::size_t>(layer)));
  }
};

using GgufMetadata = std::vector<std::pair<std::string, base::GgufValue>>;

/// Throws base::Error for a family or a rope type that we do not compute, and for a key that is neither used nor known
/// to change nothing.
ModelConfig config_from_json(const std::string& config_json, const std::string& file);
ModelConfig config_from_gguf(const base::GgufReader& file);
/// A config.json that transformers 4 and 5 both read; `dtype` is "float32", "bfloat16" or "float16".
std::string config_to_json(const ModelConfig& config, const std::string& dtype);
/// The family's keys of a GGUF, "llama.block_count" and so on, without general.* and tokenizer.*. Throws base::Error
/// for what this architecture has no key for in llama.cpp.
GgufMetadata config_to_gguf(const ModelConfig& config);

}  // namespace lora
