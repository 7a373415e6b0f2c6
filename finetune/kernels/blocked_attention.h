// Causal attention over packed documents on the CPU: products of blocks that stop at the diagonal, the query heads of a
// key head together. Tested by tests/finetune/model_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "finetune/kernels/attention.h"

namespace finetune::blocked {

/// Whether it computes attention of this shape over heads of this kind: float32 or bfloat16 in CPU memory; a
/// window, but no cap and no slopes.
bool handles(const at::Tensor& heads, const AttentionShape& shape);
/// Of float32 in CPU memory.
bool handles(const AttentionShape& shape);

/// heads [T, heads + 2 kv_heads, head_dim], turned, contiguous. Returns out [T, heads head_dim] in their type and the
/// logarithms [T, heads] float32 of the sums of exponentials, which the backward pass needs. Sums are float32; of
/// bfloat16 heads the weights are rounded to bfloat16 where they meet the values, as on a GPU, but for processors that
/// compute in float32 (is_widened). The same bytes with any number of threads.
struct Result {
  at::Tensor out, log_sums;
};
Result forward(const at::Tensor& heads, const AttentionShape& shape, const std::vector<std::int64_t>& lengths);

/// The gradient of `heads`, given that of `out`.
at::Tensor backward(const at::Tensor& dout, const at::Tensor& heads, const Result& result, const AttentionShape& shape,
                    const std::vector<std::int64_t>& lengths);

}  // namespace finetune::blocked
