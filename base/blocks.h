// Blocks of quantised weights, as ggml lays them: 32 or 256 elements that share scales.
// Tested by tests/base/tensor_test.cc.
#pragma once

#include <cstddef>
#include <utility>

#include "base/tensor.h"

namespace base {

constexpr std::size_t kSmallBlock = 32, kSuperBlock = 256;  ///< elements

/// Expands one block to block_elements(type) floats.
using ExpandBlock = void (*)(const std::byte* block, float* out);
/// Null for types whose elements stand alone.
ExpandBlock block_expander(DType type);

/// Scale and minimum of a group of 32 elements, 6 bits each, in the 12 bytes of Q4_K and Q5_K.
inline std::pair<float, float> scale_and_minimum(const std::byte* scales, std::size_t group) {
  const auto bits = [&](std::size_t i) { return std::to_integer<int>(scales[i]); };
  const std::size_t i = group % 4;
  if (group < 4) return {bits(i) & 63, bits(4 + i) & 63};
  return {(bits(8 + i) & 15) | (bits(i) >> 2 & 0x30), bits(8 + i) >> 4 | (bits(4 + i) >> 2 & 0x30)};
}

/// 32 values -> 34 bytes. d = amax / 127, q = round(x / d), halves away from zero (ggml's quantize_row_q8_0_ref).
/// Throws Error for what is not finite or beyond what a half scale can hold.
void quantize_q8_0(const float* values, std::byte* block);

}  // namespace base
