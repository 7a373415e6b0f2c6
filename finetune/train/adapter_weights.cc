// Weights of adapters learned from a loss. Tested by tests/finetune/adapter_weights_test.cc.
#include "finetune/train/adapter_weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "finetune/data/packing.h"
#include "lora/fuse/fuse.h"

namespace finetune {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

struct Point {
  VectorXd weights, gradient;
  double loss = 0;
};

// The inverse of the second derivatives as BFGS has it after a step `s` that changed the gradient by `y`.
void update(MatrixXd& inverse, const VectorXd& s, const VectorXd& y, bool is_first) {
  const double curvature{s.dot(y)};
  if (curvature <= 1e-12 * s.norm() * y.norm()) return;
  const MatrixXd identity = MatrixXd::Identity(s.size(), s.size());
  if (is_first) inverse = curvature / y.squaredNorm() * identity;
  const MatrixXd turn = identity - s * y.transpose() / curvature;
  inverse = turn * inverse * turn.transpose() + s * s.transpose() / curvature;
}

}  // namespace

WeightedAdapters::WeightedAdapters(Transformer& model, std::span<const lora::Adapter> adapters) : model_(model) {
  const std::vector<double> ones(adapters.size(), 1);
  lora::Adapter whole = lora::fused(adapters, ones, {lora::FuseMethod::kConcatenate}).adapter;
  whole.dropout = 0;
  model.attach(whole);
  // A and B of every module, in the order of the modules.
  const std::vector<at::Tensor> parameters = model.parameters();
  std::size_t place = 0;
  for (const lora::AdapterModule& module : model.adapter().modules) {
    Module& entry = modules_.emplace_back();
    entry.b = parameters.at(place + 1);
    entry.unweighted = entry.b.detach().clone();
    place += 2;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < adapters.size(); ++i)
      for (const lora::AdapterModule& part : adapters[i].modules)
        if (part.name == module.name) {
          entry.parts.push_back({i, first, part.rank});
          first += part.rank;
        }
  }
}

void WeightedAdapters::set_weights(std::span<const double> weights) {
  const at::NoGradGuard no_gradient;
  for (Module& module : modules_)
    for (const Part& part : module.parts)
      module.b.narrow(1, part.first, part.rank)
          .copy_(module.unweighted.narrow(1, part.first, part.rank) * weights[part.adapter]);
}

bool WeightedAdapters::evaluate(std::span<const double> weights, const Examples& examples, std::int64_t max_length,
                                const std::function<bool(double)>& go_on, double& loss, std::vector<double>& gradient) {
  set_weights(weights);
  for (at::Tensor& parameter : model_.parameters()) parameter.mutable_grad() = at::Tensor();
  const std::vector<RowPlan> rows = plan_rows(examples, max_length, true, 0);
  double trained = 0;
  for (const RowPlan& plan : rows) trained += static_cast<double>(make_row(examples, plan, model_.device()).trained);
  loss = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!go_on(static_cast<double>(i) / static_cast<double>(rows.size()))) return false;
    // Without the routers' own loss, which an evaluation leaves out.
    const at::Tensor share =
        -model_.token_log_probabilities(make_row(examples, rows[i], model_.device())).sum() / trained;
    share.backward();
    loss += share.item<double>();
  }
  gradient.assign(weights.size(), 0);
  const at::NoGradGuard no_gradient;
  for (const Module& module : modules_) {
    const at::Tensor& of_b = module.b.grad();
    if (!of_b.defined()) continue;  // an expert that no token went to
    for (const Part& part : module.parts)
      gradient[part.adapter] += (of_b.narrow(1, part.first, part.rank).to(at::kDouble) *
                                 module.unweighted.narrow(1, part.first, part.rank).to(at::kDouble))
                                    .sum()
                                    .item<double>();
  }
  return true;
}

WeightFit fit_weights(Transformer& model, std::span<const lora::Adapter> adapters, std::span<const double> start,
                      const Examples& examples, const WeightFitOptions& options,
                      const std::function<bool(double)>& go_on) {
  constexpr double kEnough = 1e-6, kFirstStep = 0.25, kDescent = 1e-4;
  constexpr int kHalvings = 8;
  WeightedAdapters weighted(model, adapters);
  WeightFit fit;
  const auto evaluated = [&](const VectorXd& weights, Point& point) {
    ++fit.evaluations;
    std::vector<double> gradient;
    point.weights = weights;
    const std::span<const double> values(weights.data(), static_cast<std::size_t>(weights.size()));
    if (!weighted.evaluate(values, examples, options.max_length, go_on, point.loss, gradient)) return false;
    point.gradient = Eigen::Map<const VectorXd>(gradient.data(), weights.size());
    return true;
  };
  const auto count = static_cast<Eigen::Index>(start.size());
  Point here;
  if (!evaluated(Eigen::Map<const VectorXd>(start.data(), count), here)) return fit;
  if (!std::isfinite(here.loss))
    throw base::Error({"the loss at the first weights is not a number", "", "", "", "are the adapters of this model?"});
  fit.start_loss = here.loss;
  MatrixXd inverse = MatrixXd::Identity(count, count);
  for (bool is_first = true; !fit.converged && fit.evaluations < options.most_evaluations; is_first = false) {
    VectorXd step = -inverse * here.gradient;
    if (is_first) step *= std::min(1.0, kFirstStep / std::max(step.norm(), 1e-300));
    Point next;
    bool is_better = false;
    for (int halving = 0; halving < kHalvings && !is_better && fit.evaluations < options.most_evaluations; ++halving) {
      if (halving > 0) step /= 2;
      if (!evaluated(here.weights + step, next)) return fit;
      is_better = next.loss <= here.loss + kDescent * here.gradient.dot(step);  // false of NaN
    }
    fit.converged = !is_better || here.loss - next.loss < kEnough;
    if (!is_better) break;
    update(inverse, step, next.gradient - here.gradient, is_first);
    here = next;
  }
  fit.weights.assign(here.weights.data(), here.weights.data() + count);
  fit.gradient.assign(here.gradient.data(), here.gradient.data() + count);
  fit.loss = here.loss;
  return fit;
}

}  // namespace finetune
