// Products with large frozen matrices on the CPU. Tested by tests/finetune/model_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune {

/// y [T, out], of which rows may lie apart, = x w^T + added: x [T, in], w [out, in]; `added` is [out] or [T, out],
/// undefined: nothing. No autograd.
///
/// Of several float32 rows in CPU memory it is oneDNN's kernel over blocks of w that are brought into its order as they
/// come: 10 to 20 % faster than ATen's product, which is MKL's and whose bytes depend on the number of threads, and
/// without a second copy of w. One row, as generation has it, reads w once in all threads, at the speed of memory (MKL:
/// one thread, and no vectors on an AMD processor). All else is ATen's.
///
/// Beside a float32 x in CPU memory w may also be bfloat16 or float16: widened piece by piece, which loses nothing; or
/// see amx_products.h. bfloat16: there too, and on a processor that does not multiply it see is_widened.
void product_into(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added = {});

/// Whether these, and those of low_rank.h, are the same bytes with any number of threads in CPU memory: in float32, and
/// in bfloat16, for even numbers of rows and columns of w, but on a processor with avx512_bf16 and no AMX.
bool products_hide_threads(at::ScalarType type);

/// dy w: dy [T, out], w [out, in] -> [T, in]. The same types.
at::Tensor product_transposed(const at::Tensor& dy, const at::Tensor& w);
void product_transposed_into(at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w);

}  // namespace finetune
