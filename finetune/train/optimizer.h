// AdamW on one flat buffer.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace finetune {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
  /// Of each parameter what its rate is multiplied by (LoRA+), and whether it decays. Empty: 1, and all do.
  std::vector<double> factors = {};
  std::vector<bool> decays = {};
};

/// torch.optim.AdamW (Loshchilov, Hutter 2019; torch 2.11's single-tensor path), operation for operation:
///   p *= 1 - rate * weight_decay;  m += (g - m) (1 - beta1);  v = beta2 v + (1 - beta2) g g
///   p -= rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
/// An adapter has hundreds of small matrices, so the parameters move into one flat buffer and become views of it, and
/// so do their gradients: the norm, the clip and each line above are one kernel, whatever the number of matrices.
class AdamW {
 public:
  /// `parameters`: float32 leaves on one device; N = their elements. Their values are kept.
  AdamW(std::vector<at::Tensor> parameters, AdamWOptions options);

  void zero_gradients();
  /// Scales the gradient by min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_, and returns the norm
  /// before that (a scalar on the device, so that nobody waits for it). max_norm 0 only measures.
  at::Tensor clip(double max_norm);
  /// One update with the accumulated gradient.
  void step(double rate);

  /// What a checkpoint holds: [N] float32 each, in the order of the parameters, and the number of updates done.
  const at::Tensor& values() const { return values_; }
  const at::Tensor& gradient() const { return gradient_; }
  const at::Tensor& first_moment() const { return first_moment_; }
  const at::Tensor& second_moment() const { return second_moment_; }
  std::int64_t steps() const { return steps_; }
  /// Goes on from a checkpoint. Tensors as above, on any device.
  void restore(const at::Tensor& values, const at::Tensor& first_moment, const at::Tensor& second_moment,
               std::int64_t steps);

 private:
  std::vector<at::Tensor> parameters_;
  AdamWOptions options_;
  at::Tensor per_element(const std::vector<double>& numbers) const;  // [N]; undefined where all are 1

  at::Tensor values_, gradient_, first_moment_, second_moment_;
  at::Tensor factors_, decays_;  // [N] float32, where parameters differ
  std::int64_t steps_ = 0;
};

}  // namespace finetune
