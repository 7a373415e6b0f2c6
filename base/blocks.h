// Blocks of quantised weights, as ggml lays them: 32 or 256 elements that share scales.
// Tested by tests/base/tensor_test.cc.
#pragma once

#include <cstddef>

#include "base/tensor.h"

namespace base {

constexpr std::size_t kSmallBlock = 32, kSuperBlock = 256;  ///< elements

/// Expands one block to block_elements(type) floats.
using ExpandBlock = void (*)(const std::byte* block, float* out);
/// Null for types whose elements stand alone.
ExpandBlock block_expander(DType type);

/// 32 values -> 34 bytes. d = amax / 127, q = round(x / d), halves away from zero (ggml's quantize_row_q8_0_ref).
/// Throws Error for what is not finite or beyond what a half scale can hold.
void quantize_q8_0(const float* values, std::byte* block);

}  // namespace base
