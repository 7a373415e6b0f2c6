// float32 products by those of bfloat16. Tested by tests/finetune/kernels_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune::split {

/// Whether a product of x with w [out, in] goes this way: rows of float32 and w in bfloat16, on a processor with AMX.
/// A float32 number is the sum of three of bfloat16, exactly, and products of two such are exact in float32, in which
/// AMX sums: three of its products are as exact as one of float32, and faster. Of numbers below 1e-38
/// nothing is left, and what an infinite number gives is infinite or no number.
bool is_split(const at::Tensor& x, const at::Tensor& w);

/// As those of products.h, the same bytes with any number of threads.
void product_into(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added);
void product_transposed_into(at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w);

}  // namespace finetune::split
