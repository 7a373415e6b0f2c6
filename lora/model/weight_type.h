// The types in which a model's weights are written: one for all matrices, or one of llama.cpp's mixtures of blocks.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/tensor.h"
#include "lora/model/model_files.h"

namespace lora {

/// What llama.cpp's names of K-quants end in: how many matrices get more bits than the rest.
enum class Mixture { kNone, kSmall, kMedium };

/// "q4_k_m": Q4_K, kMedium.
struct WeightType {
  base::DType type = base::DType::kF32;
  Mixture mixture = Mixture::kNone;
  constexpr WeightType() = default;
  constexpr WeightType(base::DType of) : type(of) {}
  constexpr WeightType(base::DType of, Mixture how) : type(of), mixture(how) {}
  bool operator==(const WeightType&) const = default;
};

/// "F16", "Q8_0", "Q4_K_M".
std::string name_of(WeightType type);
/// general.file_type of a GGUF whose matrices are of `type` (llama.cpp's enum llama_ftype).
std::uint32_t gguf_file_type(WeightType type);
/// The names of options: "float32", "q4_k_m". Those of a GGUF are all; those of a folder are no blocks.
std::vector<std::string> type_names(bool gguf);
/// A type by such a name; "f32", "F16", "BF16" too. Throws UsageError.
WeightType type_from_name(const std::string& name);
/// Its name in config.json: "float32", "bfloat16", "float16". Throws UsageError for types that exist in GGUF only.
const char* hf_name(WeightType type);

/// The type of each of `tensors`, all of a model, in a GGUF whose matrices are written as `type`, by its name in
/// Hugging Face's format: vectors and routers float32, and of blocks what llama.cpp's quantiser takes without an
/// importance matrix.
std::unordered_map<std::string, base::DType> gguf_types(const ModelConfig& config,
                                                        const std::vector<TensorSpec>& tensors, WeightType type);
/// The same of all tensors of a file, with a head of its own where it has one.
std::unordered_map<std::string, base::DType> gguf_types(const ModelFiles& model, WeightType type);

/// Of matrices whose rows are no whole blocks of `type` and got another one, for people; "" when there are none.
std::string block_note(const ModelFiles& model, WeightType type);

/// The type that keeps what a tensor holds: its own, F32 of F64, F16 of a quantised one.
base::DType natural_type(base::DType stored);
/// The name of the matrix whose type is told as the model's: its first linear layer.
std::string first_matrix(const ModelFiles& model);
/// The natural type of that.
base::DType natural_type(const ModelFiles& model);

}  // namespace lora
