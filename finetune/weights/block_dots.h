// Products of a vector with rows of a GGUF's blocks, without expanding them. Tested by
// tests/finetune/quantized_test.cc.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/tensor.h"

namespace finetune {

/// A vector as the products read it. Of one that is no multiple of 32 there are the values alone: no block has such
/// rows.
struct BlockVector {
  explicit BlockVector(std::span<const float> x);
  struct alignas(64) Line {  // no vector of eight lies across two lines of a cache
    float numbers[16];
  };
  std::vector<float> values;
  /// Number 4 j + b of each 32, times 2^(-8 b), at 8 b + j: the bytes b of eight words of four are multiplied at once,
  /// each where it lies in its word.
  std::vector<Line> by_byte;
  std::vector<float> sums_of_16, sums_of_32;
  const float* halves;  ///< [65536]: the numbers that scales of 16 bits are
};

/// y [n] = n rows of as many numbers as x, kept in blocks `stride` bytes from each other, times x. Scales and whole
/// numbers are multiplied apart, so that a result differs from that of the expanded row by rounding.
using BlockTimes = void (*)(const std::byte* row, std::int64_t stride, const BlockVector& x, std::span<float> y);
/// Null for types that have none: those are expanded.
BlockTimes block_times(base::DType type);

}  // namespace finetune
