// What turns gradients into updates, on one flat buffer.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace finetune {

/// The numbers of an update; each optimizer reads those that it has.
struct OptimizerSettings {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
  double momentum = 0;             ///< SGD, Muon
  bool nesterov = false;           ///< SGD, Muon
  bool matches_rms_adamw = false;  ///< Muon: the rate of a matrix fits AdamW's (Moonshot 2025, arXiv:2502.16982)
  /// Of each parameter what its rate is multiplied by (LoRA+), whether it decays, and whether it is a matrix to Muon.
  /// Empty: 1; all do; those of two dimensions.
  std::vector<double> factors = {};
  std::vector<bool> decays = {}, matrices = {};
};

/// Named tensors of a checkpoint.
using OptimizerState = std::vector<std::pair<std::string, at::Tensor>>;

/// An adapter has hundreds of small matrices, so the parameters move into one flat buffer and become views of it, and
/// so do their gradients: the norm, the clip and each line of an update are one kernel, whatever the number of
/// matrices.
class Optimizer {
 public:
  /// `parameters`: float32 leaves on one device; N = their elements. Their values are kept.
  Optimizer(std::vector<at::Tensor> parameters, OptimizerSettings settings);
  virtual ~Optimizer() = default;
  Optimizer(Optimizer&&) = default;

  /// Goes on with tensors of the same shapes in the place of its parameters, which get their values.
  void adopt(std::vector<at::Tensor> parameters);
  void zero_gradients();
  /// Scales the gradient by min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_, and returns the norm
  /// before that (a scalar on the device, so that nobody waits for it). max_norm 0 only measures.
  at::Tensor clip(double max_norm);
  /// One update with the accumulated gradient.
  void step(double rate);

  /// [N] float32, in the order of the parameters.
  const at::Tensor& values() const { return values_; }
  const at::Tensor& gradient() const { return gradient_; }
  /// What is kept from step to step beside the values, and how much memory that takes.
  const OptimizerState& state() const { return state_; }
  std::int64_t state_bytes() const;
  std::int64_t steps() const { return steps_; }
  /// Goes on from a checkpoint. Tensors as above, on any device. Throws base::Error where they are not this
  /// optimizer's.
  void restore(const at::Tensor& values, const OptimizerState& state, std::int64_t steps);

 protected:
  // Elements [first, first + size) of everything flat. `factors` and `decays` are undefined where all are 1.
  struct Stretch {
    at::Tensor values, gradient, factors, decays;
  };
  Stretch stretch(std::int64_t first, std::int64_t size) const;
  Stretch everything() const { return stretch(0, values_.numel()); }
  // values *= 1 - rate * weight_decay
  void decay(const Stretch& of, double rate) const;
  void adamw_step(const Stretch& of, at::Tensor first_moment, at::Tensor second_moment, double rate) const;
  // A tensor of the checkpoint, of zeros.
  at::Tensor add_state(const std::string& name, std::int64_t size, at::ScalarType type = at::kFloat);
  virtual void update(double rate) = 0;  // steps() counts it already

  std::vector<at::Tensor> parameters_;
  OptimizerSettings settings_;

 private:
  at::Tensor per_element(const std::vector<double>& numbers) const;  // [N]; undefined where all are 1

  at::Tensor values_, gradient_;
  at::Tensor factors_, decays_;  // [N] float32, where parameters differ
  OptimizerState state_;
  std::int64_t steps_ = 0;
};

/// torch.optim.AdamW (Loshchilov, Hutter 2019; torch 2.11's single-tensor path), operation for operation:
///   p *= 1 - rate * weight_decay;  m += (g - m) (1 - beta1);  v = beta2 v + (1 - beta2) g g
///   p -= rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
class AdamW final : public Optimizer {
 public:
  AdamW(std::vector<at::Tensor> parameters, OptimizerSettings settings);

 private:
  void update(double rate) override;
  at::Tensor first_moment_, second_moment_;
};

/// torch.optim.SGD, whose weight decay is part of the gradient:
///   g += weight_decay p;  m = momentum m + g;  p -= rate m, with nesterov rate (g + momentum m)
class Sgd final : public Optimizer {
 public:
  Sgd(std::vector<at::Tensor> parameters, OptimizerSettings settings);

 private:
  void update(double rate) override;
  at::Tensor momentum_;  // undefined without
};

/// Lion (Chen et al. 2023, arXiv:2302.06675):
///   p *= 1 - rate * weight_decay;  p -= rate sign(beta1 m + (1 - beta1) g);  m = beta2 m + (1 - beta2) g
class Lion final : public Optimizer {
 public:
  Lion(std::vector<at::Tensor> parameters, OptimizerSettings settings);

 private:
  void update(double rate) override;
  at::Tensor momentum_;
};

}  // namespace finetune
