// Products of a vector with rows of a GGUF's blocks, without expanding them. Tested by
// tests/finetune/quantized_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/tensor.h"

namespace finetune {

/// Numbers whose sums the products need: every block and group of one is a multiple of them.
constexpr std::int64_t kSummed = 16;

/// The sum of x[i] w[i] over a row of `count` numbers, kept in `row`. `sums`: of each kSummed numbers of x. Scales and
/// whole numbers are multiplied apart, so that the result differs from that of the expanded row by rounding.
using BlockDot = float (*)(const std::byte* row, const float* x, const float* sums, std::int64_t count);
/// Null for types that have none: those are expanded.
BlockDot block_dot(base::DType type);

}  // namespace finetune
