// Products of which one dimension is small, as LoRA's are. Tested by tests/finetune/kernels_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune::low_rank {

/// What follows is oneDNN's kernel over the operands as they lie, for float32 in CPU memory whose rows hold numbers
/// side by side (MKL copies both first, and takes no wide vectors on an AMD processor); the same bytes with any
/// number of threads. bfloat16 goes by AMX where the processor has it, and where it does not multiply bfloat16 at all
/// the way of float32 (is_widened). Else it is ATen's. No autograd.

/// x b: x [m, k], b [k, n] -> [m, n].
at::Tensor product(const at::Tensor& x, const at::Tensor& b);
/// The same into y, of which rows may lie apart, or added to it.
void product_into(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b);
void add_product(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b);

/// a^T b, a gradient: a [T, m], of few columns, b [T, n] -> [m, n] float32.
at::Tensor product_over_rows(const at::Tensor& a, const at::Tensor& b);

}  // namespace finetune::low_rank
