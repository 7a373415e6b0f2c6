// DoRA as one autograd function over joined rows.
#pragma once

#include "finetune/adapt/linear.h"

namespace finetune {

/// JoinedLinear::forward where parts have magnitudes m, and none has dropout or trains whole: y = c * (x W^T + scale *
/// x A^T B^T) + bias with c = m / |W + scale * B A| (Liu et al. 2024, arXiv:2402.09353), the lengths of the rows taken
/// as a constant in the backward pass, as PEFT does. Beside x the graph keeps y / c alone, [T, sum of out].
at::Tensor dora_forward(const JoinedLinear& layer, const at::Tensor& x, const at::Tensor& residual,
                        const Recipe* again);

}  // namespace finetune
