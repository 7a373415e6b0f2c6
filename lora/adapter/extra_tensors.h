// The tensors of a PEFT adapter by their names: A and B of linear layers and of the embedding, DoRA's magnitudes,
// modules trained whole, rows of tokens.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "lora/adapter/adapter_config.h"

namespace lora {

inline constexpr std::string_view kAdapterPrefix = "base_model.model.";

enum class TensorKind { kUnknown, kA, kB, kEmbeddingA, kEmbeddingB, kMagnitude, kTokens, kTrained, kSaved };

/// What `tensor` of adapter_model.safetensors is, and of which module ("model.layers.0.self_attn.q_proj"); of kTrained
/// and kSaved of which tensor of the model ("model.norm.weight").
struct TensorName {
  TensorKind kind = TensorKind::kUnknown;
  std::string of;
};
TensorName tensor_name(std::string_view tensor, const AdapterConfig& config);

/// A name without "_orig_mod.", which torch.compile puts into it, and without the adapter's name, which stands in that
/// of a state_dict ("lora_A.default.weight") and is given as `adapter`, where there is one.
std::string plain_tensor_name(std::string tensor, std::string& adapter);

/// True of an embedding or a head of some family.
bool is_embedding(const std::string& module);
bool is_head(const std::string& module);
/// The head of the families that have this embedding.
std::string head_beside(const std::string& embedding);

/// `matrix` [rows, columns] turned.
std::vector<float> transposed(std::span<const float> matrix, std::size_t rows, std::size_t columns);

}  // namespace lora
