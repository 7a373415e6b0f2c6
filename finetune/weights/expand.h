// Kept bits into numbers in CPU memory, in one pass over rows in parallel. Tested by tests/finetune/quantized_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

#include "base/tensor.h"

namespace finetune::expand {

// `out` [n, m] contiguous, float32 or bfloat16: what is kept of n rows. Rows are those from `first` on, columns those
// from `column` on, of a matrix with `columns` columns, all on the CPU.

/// Scales of blocks: `plain`, or where `numbers` are given table[number] times the one of `outer` that `block` of them
/// share, plus `offset`.
struct Scales {
  const float* plain = nullptr;
  const std::uint8_t* numbers = nullptr;
  const float *table = nullptr, *outer = nullptr;
  std::int64_t block = 0;
  float offset = 0;
  float at(std::int64_t i) const {
    if (!numbers) return plain[i];
    const float scaled{table[numbers[i]] * outer[i / block]};
    return scaled + offset;
  }
};
/// Two numbers a byte, the first in the upper half. `block` numbers, which go on from row to row, share a scale;
/// codes[number] * scale is rounded to `type` and then to that of `out`.
void four_bits(const at::Tensor& bytes, const at::Tensor& codes, std::int64_t block, const Scales& scales,
               at::ScalarType type, std::int64_t columns, std::int64_t first, std::int64_t column, at::Tensor& out);
/// `bytes` [n, m] int8 with any stride of rows, `scales` [n] float32: bytes * scale * `step`.
void eight_bits(const at::Tensor& bytes, const at::Tensor& scales, float step, at::Tensor& out);
/// `bytes` [n, bytes of m numbers] uint8 with any stride of rows: blocks as ggml lays them.
void blocks(base::DType type, const at::Tensor& bytes, at::Tensor& out);

/// Of each of 64 values how many of `bounds` are below it: the number of its code.
void count_below(const std::array<float, 15>& bounds, const std::array<float, 64>& values,
                 std::array<std::int32_t, 64>& counts);

}  // namespace finetune::expand
