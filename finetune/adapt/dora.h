// DoRA as one autograd function over joined rows.
#pragma once

#include "finetune/adapt/linear.h"

namespace finetune {

/// JoinedLinear::forward where parts have magnitudes m, and none trains whole: y = c * (x W^T + scale * x A^T B^T) +
/// bias with c = m / |W + scale * B A| (Liu et al. 2024, arXiv:2402.09353), the lengths of the rows taken as a constant
/// in the backward pass, as PEFT does. Beside x the graph keeps y / c alone, [T, sum of out].
///
/// With dropout as PEFT has it, y = x W^T + bias + (c - 1) * d W^T + c * scale * d A^T B^T, d = dropout(x): a product
/// of the base's more, and the graph keeps d W^T + scale * d A^T B^T instead.
at::Tensor dora_forward(const JoinedLinear& layer, const at::Tensor& x, const at::Tensor& residual, const Draws& draws,
                        const Recipe* again);

}  // namespace finetune
