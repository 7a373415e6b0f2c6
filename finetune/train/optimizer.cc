// What all optimizers share, and those that are the same for every element. Tested by
// tests/finetune/optimizer_test.cc.
#include "finetune/train/optimizer.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace finetune {
namespace {

// Of a vector, by pieces that are always the same: threads do not show.
at::Tensor norm_of(const at::Tensor& flat) {
  constexpr std::int64_t kPiece = std::int64_t{1} << 14;
  const std::int64_t whole{flat.numel() / kPiece * kPiece};
  const at::Tensor pieces = at::linalg_vector_norm(flat.narrow(0, 0, whole).view({-1, kPiece}), 2, at::IntArrayRef{1});
  const at::Tensor rest = at::linalg_vector_norm(flat.narrow(0, whole, flat.numel() - whole));
  return at::linalg_vector_norm(at::cat({pieces, rest.view({1})}).to(at::kDouble)).to(at::kFloat);
}

}  // namespace

Optimizer::Optimizer(std::vector<at::Tensor> parameters, OptimizerSettings settings) : settings_(std::move(settings)) {
  at::NoGradGuard no_gradient;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& parameter : parameters) {
    TORCH_CHECK(parameter.scalar_type() == at::kFloat && parameter.is_leaf(), "an optimizer needs float32 leaves");
    flat.push_back(parameter.detach().reshape({-1}));
  }
  values_ = at::cat(flat);
  gradient_ = at::zeros_like(values_);
  adopt(std::move(parameters));
  factors_ = per_element(settings_.factors);
  decays_ = per_element({settings_.decays.begin(), settings_.decays.end()});
}

void Optimizer::adopt(std::vector<at::Tensor> parameters) {
  at::NoGradGuard no_gradient;
  parameters_ = std::move(parameters);
  std::int64_t offset = 0;
  for (at::Tensor& parameter : parameters_) {
    const std::int64_t size = parameter.numel();
    parameter.set_data(values_.narrow(0, offset, size).view(parameter.sizes()));
    // backward() adds into a gradient that is already there, so the views stay views.
    parameter.mutable_grad() = gradient_.narrow(0, offset, size).view(parameter.sizes());
    offset += size;
  }
}

at::Tensor Optimizer::per_element(const std::vector<double>& numbers) const {
  if (std::ranges::all_of(numbers, [](double number) { return number == 1; })) return {};
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    parts.push_back(at::full({parameters_[i].numel()}, numbers[i], values_.options()));
  return at::cat(parts);
}

at::Tensor Optimizer::add_state(const std::string& name, std::int64_t size, at::ScalarType type) {
  state_.emplace_back(name, at::zeros({size}, values_.options().dtype(type)));
  return state_.back().second;
}

std::int64_t Optimizer::state_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : state_) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

void Optimizer::zero_gradients() { gradient_.zero_(); }

at::Tensor Optimizer::clip(double max_norm) {
  at::NoGradGuard no_gradient;
  at::Tensor norm = norm_of(gradient_);
  if (max_norm > 0) gradient_.mul_((max_norm / (norm + 1e-6)).clamp_max(1.0));
  return norm;
}

void Optimizer::step(double rate) {
  at::NoGradGuard no_gradient;
  ++steps_;
  update(rate);
}

void Optimizer::restore(const at::Tensor& values, const OptimizerState& state, std::int64_t steps) {
  at::NoGradGuard no_gradient;
  const char* advice = "delete the newest checkpoint: --resume then goes on from the one before it";
  if (values.numel() != values_.numel())
    throw base::Error({"the checkpoint does not hold the numbers that train here", "",
                       fmt::format("{}", values.numel()), fmt::format("{} numbers", values_.numel()), advice});
  values_.copy_(values);
  for (auto& [name, tensor] : state_) {
    const auto found = std::ranges::find(state, name, [](const auto& entry) { return entry.first; });
    if (found == state.end() || found->second.sizes() != tensor.sizes() ||
        found->second.scalar_type() != tensor.scalar_type())
      throw base::Error({"the checkpoint does not hold the state of this optimizer", name, "",
                         fmt::format("{} numbers of type {}", tensor.numel(), at::toString(tensor.scalar_type())),
                         advice});
    tensor.copy_(found->second);
  }
  steps_ = steps;
}

Optimizer::Stretch Optimizer::stretch(std::int64_t first, std::int64_t size) const {
  const auto part = [&](const at::Tensor& flat) { return flat.defined() ? flat.narrow(0, first, size) : flat; };
  return {part(values_), part(gradient_), part(factors_), part(decays_)};
}

void Optimizer::decay(const Stretch& of, double rate) const {
  if (settings_.weight_decay == 0) return;
  at::Tensor of_each = of.factors;
  if (of.decays.defined()) of_each = of_each.defined() ? of_each * of.decays : of.decays;
  const double share{rate * settings_.weight_decay};
  of_each.defined() ? of.values.mul_(1 - of_each * share) : of.values.mul_(1 - share);
}

void Optimizer::adamw_step(const Stretch& of, at::Tensor first_moment, at::Tensor second_moment, double rate) const {
  const double correction1{1 - std::pow(settings_.beta1, static_cast<double>(steps_))},
      correction2{1 - std::pow(settings_.beta2, static_cast<double>(steps_))};
  decay(of, rate);
  first_moment.lerp_(of.gradient, 1 - settings_.beta1);
  second_moment.mul_(settings_.beta2).addcmul_(of.gradient, of.gradient, 1 - settings_.beta2);
  at::Tensor denominator = second_moment.sqrt().div_(std::sqrt(correction2)).add_(settings_.epsilon);
  if (of.factors.defined()) denominator.div_(of.factors);
  of.values.addcdiv_(first_moment, denominator, -rate / correction1);
}

AdamW::AdamW(std::vector<at::Tensor> parameters, OptimizerSettings settings)
    : Optimizer(std::move(parameters), std::move(settings)),
      first_moment_(add_state("first_moment", values().numel())),
      second_moment_(add_state("second_moment", values().numel())) {}

void AdamW::update(double rate) { adamw_step(everything(), first_moment_, second_moment_, rate); }

Sgd::Sgd(std::vector<at::Tensor> parameters, OptimizerSettings settings)
    : Optimizer(std::move(parameters), std::move(settings)) {
  if (settings_.momentum != 0) momentum_ = add_state("momentum", values().numel());
}

void Sgd::update(double rate) {
  const Stretch all = everything();
  at::Tensor direction = all.gradient;
  if (settings_.weight_decay != 0)
    direction = direction.add(all.decays.defined() ? all.values * all.decays : all.values, settings_.weight_decay);
  if (momentum_.defined()) {
    momentum_.mul_(settings_.momentum).add_(direction);
    direction = settings_.nesterov ? direction.add(momentum_, settings_.momentum) : momentum_;
  }
  all.values.add_(all.factors.defined() ? direction * all.factors : direction, -rate);
}

Lion::Lion(std::vector<at::Tensor> parameters, OptimizerSettings settings)
    : Optimizer(std::move(parameters), std::move(settings)), momentum_(add_state("momentum", values().numel())) {}

void Lion::update(double rate) {
  const Stretch all = everything();
  decay(all, rate);
  at::Tensor direction = momentum_.mul(settings_.beta1).add_(all.gradient, 1 - settings_.beta1).sign_();
  all.values.add_(all.factors.defined() ? direction.mul_(all.factors) : direction, -rate);
  momentum_.mul_(settings_.beta2).add_(all.gradient, 1 - settings_.beta2);
}

}  // namespace finetune
