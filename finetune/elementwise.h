// The block's operations between matrix products, as autograd functions that save as little as they can.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune {

/// weight * cast(x / sqrt(mean(x^2) + eps)): in float32, rounded to x's type before the product with the weight, as
/// transformers' LlamaRMSNorm. x [T, n], weight [n] frozen.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// silu(gate) * up for joined [T, 2 n] = gate | up -> [T, n].
at::Tensor swiglu(const at::Tensor& gate_up);

}  // namespace finetune
