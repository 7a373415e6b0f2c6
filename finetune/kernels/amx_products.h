// Products with weights in bfloat16 by AMX. Tested by tests/finetune/kernels_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune::amx {

/// Whether a product of x with w [out, in] goes this way: several rows of float32, or rows of bfloat16, and a
/// contiguous w in bfloat16 of even sizes, on a processor with AMX. Sums are float32's.
///
/// A float32 number is the sum of three of bfloat16, exactly, and products of two such are exact in float32: three
/// products are as exact as one of float32, and faster. Numbers below 1e-33 are less exact, of those below 1e-38
/// nothing is left, and what an infinite number gives is infinite or no number. Rows in bfloat16 are rounded once, at
/// the end.
bool handles(const at::Tensor& x, const at::Tensor& w);
/// Whether x b goes this way: both in bfloat16, rows of which may lie apart, and an even number of columns of x.
bool handles_rows(const at::Tensor& x, const at::Tensor& b);
/// Whether a^T b does: both in bfloat16, rows of which may lie apart.
bool handles_sums_over_rows(const at::Tensor& a, const at::Tensor& b);

/// As that of products.h. This and what follows: the same bytes with any number of threads, no autograd.
void product_into(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added);
/// y [T, n], of which rows may lie apart, = x b, or that added: x [T, k], b [k, n].
void multiply(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b, bool adds);
/// a^T b in float32: a [T, m], b [T, n], both in bfloat16 -> [m, n].
at::Tensor product_over_rows(const at::Tensor& a, const at::Tensor& b);

}  // namespace finetune::amx
