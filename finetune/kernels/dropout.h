// Dropout of rows in one pass, without a tensor of its mask. Tested by tests/finetune/draws_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace finetune::dropout {

/// What is dropped: number j of the row at place p is 0 where the 16 bits of its own of
/// base::mix64(key + p * ceil(width / 4) + j / 4), the lowest for j % 4 == 0, are less than `threshold`, else times
/// `keep`.
struct Mask {
  std::uint64_t key = 0;
  std::uint32_t threshold = 0;
  float keep = 1;
};

/// Whether `apply` has this type and memory: contiguous, float32 or bfloat16, on the CPU.
bool handles(const at::Tensor& x);

/// y = mask * x, or added to y: [T, width], both of one type; `places` int64 [T]. In float32, rounded once. The same
/// bytes with any number of threads.
void apply(const at::Tensor& y, const at::Tensor& x, const at::Tensor& places, const Mask& mask, bool adds);

}  // namespace finetune::dropout
