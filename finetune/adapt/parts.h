// Linear layers that train otherwise than by A and B alone: DoRA, and weights that train whole.
// Tested by tests/finetune/variants_test.cc.
#pragma once

#include "finetune/adapt/linear.h"

namespace finetune {

/// JoinedLinear::forward, part by part. With a magnitude m a part is DoRA (Liu et al. 2024, arXiv:2402.09353) as PEFT
/// computes it: c = m / |W + scale * B A|, the lengths of the rows taken as a constant in the backward pass, and
///   y = x W^T + bias + (c - 1) * d W^T + c * scale * d A^T B^T, d = dropout(x).
at::Tensor forward_by_parts(const JoinedLinear& layer, const at::Tensor& x, const at::Tensor& residual,
                            const Draws& draws);

/// x W^T, differentiable in x.
at::Tensor frozen_product(const FrozenMatrix& matrix, const at::Tensor& x);

/// What LoRA or DoRA adds to rows [first, first + out) of `all` = x W^T. `dropped` is dropout(x), or x itself.
at::Tensor adapter_product(const FrozenMatrix& matrix, std::int64_t first, const Linear& part, const at::Tensor& all,
                           const at::Tensor& x, const at::Tensor& dropped);

/// The lengths [out] in float32 of rows [first, first + out) of W + scale * B A; A and B may be undefined. No autograd;
/// W passes in pieces.
at::Tensor row_lengths(const FrozenMatrix& matrix, std::int64_t first, const Linear& part);

}  // namespace finetune
