// In which type of 16 bits a matrix loses nothing.
#pragma once

#include <optional>
#include <string>

#include "base/tensor.h"
#include "lora/model/model_files.h"

namespace lora {

/// kSome: the first numbers, some in the middle and the last ones, to foretell; kAll: up to one that does not fit.
enum class Look { kSome, kAll };

/// kBF16 or kF16 for a matrix of `files` that loses nothing in it: as the file has it, or float32 of which each number
/// is one of bfloat16 (of float16), as where a model of 16 bits was saved in float32. None for vectors, packed
/// matrices and those with new rows.
std::optional<base::DType> type_of_16_bits(const ModelFiles& files, const std::string& name, Look look);

}  // namespace lora
