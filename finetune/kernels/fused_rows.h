// One pass over CPU memory for what ATen does in four to eight: rows in parallel, vector instructions chosen when the
// program starts, float32 or bfloat16 in memory and float32 in registers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace finetune::fused {

// All tensors are contiguous, on the CPU, and of one type (float32 or bfloat16) except `inverse`, `moments`,
// `cosines` and `sines`, which are float32, and a norm's `weight`, which may be. Outputs are allocated by the caller.
// Formulas: finetune/kernels/elementwise.h.

/// x, y [T, n]; weight [n]; inverse [T, 1]
void rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, float eps, at::Tensor& y, at::Tensor& inverse);
void rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& inverse,
                       at::Tensor& dx);
/// bias [n], of the weight's type; moments [T, 2]: mean and 1 / deviation
void layer_norm_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, float eps, at::Tensor& y,
                        at::Tensor& moments);
void layer_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& moments,
                         at::Tensor& dx);
/// gate_up, d [T, 2 n]; y, dy [T, n]
void swiglu_forward(const at::Tensor& gate_up, at::Tensor& y);
void swiglu_backward(const at::Tensor& dy, const at::Tensor& gate_up, at::Tensor& d);
/// heads, result [T, n, head_dim], which may be the same tensor; cosines, sines [T, 1, turned dimensions / 2]; sign 1
/// or -1. Dimensions behind the turned ones stay.
void rotate(const at::Tensor& heads, std::int64_t turned, const at::Tensor& cosines, const at::Tensor& sines,
            float sign, at::Tensor& result);

/// Logits [T, n] become the gradient of the negative log-likelihood of `targets` [T] int64: softmax - one-hot, in place
/// and in their type; `losses` [T] float32 gets the likelihoods. Without `with_gradient` they stay as they are.
void cross_entropy(at::Tensor& logits, const at::Tensor& targets, at::Tensor& losses, bool with_gradient);

}  // namespace finetune::fused
