// The block's operations between matrix products, as autograd functions that save as little as they can.
// Tested by tests/finetune/model_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace finetune {

/// weight * cast(x / sqrt(mean(x^2) + eps)): in float32, rounded to x's type before the product with the weight, as
/// transformers' LlamaRMSNorm; rounded once, behind that product, where the weight is of another type (float32), as its
/// GemmaRMSNorm. x [T, n], weight [n] frozen.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
/// (x - mean) / deviation * weight + bias, rounded once. x [T, n], of which the graph keeps nothing else but a mean and
/// a deviation a row; weight and bias [n] frozen.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);

/// silu(gate) * up for joined [T, 2 n] = gate | up -> [T, n].
at::Tensor swiglu(const at::Tensor& gate_up);

/// Cosines and sines of a row of tokens, [T, 1, rotated dimensions / 2] each, in float32.
struct Rotation {
  at::Tensor cosines, sines;
};
/// The first dimensions of a head that it turns.
inline std::int64_t rotated_dim(const Rotation& rotation) { return 2 * rotation.cosines.size(2); }

/// The passes behind them, without autograd. Each is written twice: in ATen's operations, which run on any device, and
/// as one pass of our own over CPU memory. Both compute in float32; tests hold them together.
enum class Passes { kAten, kFused };
inline Passes passes_for(const at::Tensor& x) { return x.is_cpu() ? Passes::kFused : Passes::kAten; }

/// The norm and 1 / rms [T, 1] float32.
std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double eps,
                                                    Passes passes);
at::Tensor rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& inverse, Passes passes);
/// The norm, and mean and 1 / deviation of every row in float32: [T, 2] of one pass, two of [T, 1] of ATen's.
std::tuple<at::Tensor, at::Tensor> layer_norm_forward(const at::Tensor& x, const at::Tensor& weight,
                                                      const at::Tensor& bias, double eps, Passes passes);
at::Tensor layer_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, const at::Tensor& moments, Passes passes);
at::Tensor swiglu_forward(const at::Tensor& gate_up, Passes passes);
at::Tensor swiglu_backward(const at::Tensor& dy, const at::Tensor& gate_up, Passes passes);
/// heads [T, n, head_dim]: the first `turned` heads rotated, half-split as in Hugging Face's layout:
/// (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), the others as they are, and so are dimensions behind those that
/// `rotation` turns. `inverse` turns the other way.
at::Tensor rotate(const at::Tensor& heads, std::int64_t turned, const Rotation& rotation, bool inverse, Passes passes);

}  // namespace finetune
