// Muon: momentum made orthogonal, for matrices. Tested by tests/finetune/optimizers_test.cc.
#include "finetune/train/muon.h"

#include <algorithm>
#include <cmath>

namespace finetune {
namespace {

// Jordan's coefficients: the steepest at zero, which need not end at 1.
at::Tensor newton_schulz(const at::Tensor& matrix) {
  constexpr double kA{3.4445}, kB{-4.7750}, kC{2.0315};
  constexpr int kSteps{5};
  const bool is_tall{matrix.size(0) > matrix.size(1)};
  at::Tensor x = matrix.to(at::kBFloat16);
  if (is_tall) x = x.t();
  x = x.div(x.norm().clamp_min(1e-7));
  for (int i = 0; i < kSteps; ++i) {
    const at::Tensor gram = x.mm(x.t());
    x = at::addmm(x, at::addmm(gram, gram, gram, kB, kC), x, kA);
  }
  return is_tall ? x.t() : x;
}

}  // namespace

Muon::Muon(std::vector<at::Tensor> parameters, OptimizerSettings settings)
    : Optimizer(std::move(parameters), std::move(settings)) {
  std::int64_t first = 0, others = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const bool is_matrix{parameters_[i].dim() == 2 && (settings_.matrices.empty() || settings_.matrices[i])};
    parts_.push_back({first, parameters_[i].numel(), is_matrix, {}, {}});
    first += parts_.back().size;
    if (!is_matrix) others += parts_.back().size;
  }
  const at::Tensor first_moment = add_state("first_moment", first), second_moment = add_state("second_moment", others);
  others = 0;
  for (Part& part : parts_) {
    part.first_moment = first_moment.narrow(0, part.first, part.size);
    if (part.is_matrix) continue;
    part.second_moment = second_moment.narrow(0, others, part.size);
    others += part.size;
  }
}

void Muon::update(double rate) {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (part.is_matrix) {
      update_matrix(part, i, rate);
    } else {
      adamw_step(stretch(part.first, part.size), part.first_moment, part.second_moment, rate);
    }
  }
}

void Muon::update_matrix(const Part& part, std::size_t parameter, double rate) const {
  const Stretch flat = stretch(part.first, part.size);
  const at::Tensor& shaped = parameters_[parameter];
  const auto rows = static_cast<double>(shaped.size(0)), columns = static_cast<double>(shaped.size(1));
  part.first_moment.lerp_(flat.gradient, 1 - settings_.momentum);
  const at::Tensor direction =
      settings_.nesterov ? flat.gradient.lerp(part.first_moment, settings_.momentum) : part.first_moment;
  const double scale{settings_.matches_rms_adamw ? 0.2 * std::sqrt(std::max(rows, columns))
                                                 : std::sqrt(std::max(1.0, rows / columns))};
  const double factor{settings_.factors.empty() ? 1 : settings_.factors[parameter]};
  decay(flat, rate);
  flat.values.view(shaped.sizes()).add_(newton_schulz(direction.view(shaped.sizes())), -rate * factor * scale);
}

}  // namespace finetune
