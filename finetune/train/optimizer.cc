// AdamW on one flat buffer. Tested by tests/finetune/optimizer_test.cc.
#include "finetune/train/optimizer.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

namespace finetune {

AdamW::AdamW(std::vector<at::Tensor> parameters, AdamWOptions options)
    : parameters_(std::move(parameters)), options_(options) {
  at::NoGradGuard no_gradient;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& parameter : parameters_) {
    TORCH_CHECK(parameter.scalar_type() == at::kFloat && parameter.is_leaf(), "AdamW needs float32 leaves");
    flat.push_back(parameter.detach().reshape({-1}));
  }
  values_ = at::cat(flat);
  gradient_ = at::zeros_like(values_);
  first_moment_ = at::zeros_like(values_);
  second_moment_ = at::zeros_like(values_);
  std::int64_t offset = 0;
  for (at::Tensor& parameter : parameters_) {
    const std::int64_t size = parameter.numel();
    parameter.set_data(values_.narrow(0, offset, size).view(parameter.sizes()));
    // backward() adds into a gradient that is already there, so the views stay views.
    parameter.mutable_grad() = gradient_.narrow(0, offset, size).view(parameter.sizes());
    offset += size;
  }
  factors_ = per_element(options_.factors);
  decays_ = per_element({options_.decays.begin(), options_.decays.end()});
}

at::Tensor AdamW::per_element(const std::vector<double>& numbers) const {
  if (std::ranges::all_of(numbers, [](double number) { return number == 1; })) return {};
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    parts.push_back(at::full({parameters_[i].numel()}, numbers[i], values_.options()));
  return at::cat(parts);
}

void AdamW::zero_gradients() { gradient_.zero_(); }

at::Tensor AdamW::clip(double max_norm) {
  at::NoGradGuard no_gradient;
  at::Tensor norm = at::linalg_vector_norm(gradient_);
  if (max_norm > 0) gradient_.mul_((max_norm / (norm + 1e-6)).clamp_max(1.0));
  return norm;
}

void AdamW::step(double rate) {
  at::NoGradGuard no_gradient;
  ++steps_;
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_));
  if (options_.weight_decay != 0) {
    at::Tensor of_each = factors_;
    if (decays_.defined()) of_each = of_each.defined() ? of_each * decays_ : decays_;
    of_each.defined() ? values_.mul_(1 - of_each * (rate * options_.weight_decay))
                      : values_.mul_(1 - rate * options_.weight_decay);
  }
  first_moment_.lerp_(gradient_, 1 - options_.beta1);
  second_moment_.mul_(options_.beta2).addcmul_(gradient_, gradient_, 1 - options_.beta2);
  at::Tensor denominator = second_moment_.sqrt().div_(std::sqrt(correction2)).add_(options_.epsilon);
  if (factors_.defined()) denominator.div_(factors_);
  values_.addcdiv_(first_moment_, denominator, -rate / correction1);
}

void AdamW::restore(const at::Tensor& values, const at::Tensor& first_moment, const at::Tensor& second_moment,
                    std::int64_t steps) {
  at::NoGradGuard no_gradient;
  values_.copy_(values);
  first_moment_.copy_(first_moment);
  second_moment_.copy_(second_moment);
  steps_ = steps;
}

}  // namespace finetune
