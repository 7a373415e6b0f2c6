// What generation computes for one new token on the CPU: its products and its attention, each reading weights or cache
// once. Tested by tests/finetune/kernels_test.cc and generate_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "finetune/kernels/attention.h"

namespace finetune::one_row {

/// Whether `product` takes them: one contiguous row in CPU memory, float32 or bfloat16, and w of its type or, beside
/// float32, of 16 bits.
bool is_one(const at::Tensor& x, const at::Tensor& w);

/// y [1, out] = x [1, in] w^T + added, where w is [out, in] and `added` [out], [1, out] or undefined. Sums are float32
/// and rounded once; the same bytes with any number of threads. No autograd.
void product(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added);

/// y[i] = x [in] w[i], for w [n, in] float32, bfloat16 or float16, in this thread.
void times(std::span<const float> x, const at::Tensor& w, std::span<float> y);

/// q [1, heads, head_dim] after rotation attends to the first `all` of keys and values [kv_heads, capacity, head_dim],
/// itself the last of them -> [1, heads head_dim]. Products, softmax and sums are float32, rounded once.
at::Tensor attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, std::int64_t all,
                     const AttentionShape& shape);

}  // namespace finetune::one_row
