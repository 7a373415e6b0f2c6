// Causal attention over packed documents on a CUDA device: LibTorch's flash attention for texts of different lengths.
// Its twin of the same signature is blocked_attention. Tested by tests/finetune/kernels_test.cc, with
// HORNBOOK_TEST_DEVICE=cuda.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "finetune/kernels/blocked_attention.h"

namespace finetune::varlen {

/// Whether it computes attention of this shape over heads of this kind: bfloat16 on a device for which LibTorch has
/// flash attention (compute capability 8.0 and more), heads of up to 256 dimensions by eight; no cap and no slopes.
bool handles(const at::Tensor& heads, const AttentionShape& shape);

/// As blocked::forward and backward. No mask and no loop over documents; the gradient is the same bytes every time.
blocked::Result forward(const at::Tensor& heads, const AttentionShape& shape, const std::vector<std::int64_t>& lengths);
at::Tensor backward(const at::Tensor& dout, const at::Tensor& heads, const blocked::Result& result,
                    const AttentionShape& shape, const std::vector<std::int64_t>& lengths);

}  // namespace finetune::varlen
