// Several models of one shape as one, weight by weight. Tested by tests/lora/compose/merge_models_test.cc.
#include "lora/compose/merge_models.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/parallel.h"
#include "base/pipeline.h"
#include "lora/adapter/kept_numbers.h"
#include "lora/adapter/tensor_stream.h"
#include "lora/model/module_names.h"

namespace lora {
namespace {

using Array = Eigen::Map<Eigen::ArrayXf>;
using ConstArray = Eigen::Map<const Eigen::ArrayXf>;

constexpr double kNearlyParallel = 0.9995, kNoNorm = 1e-8, kNoSum = 1e-7;  // as mergekit has them

Array array(std::span<float> values) { return {values.data(), static_cast<Eigen::Index>(values.size())}; }

bool elects_signs(MergeMethod method) { return method == MergeMethod::kTies || method == MergeMethod::kDareTies; }
bool drops_by_chance(MergeMethod method) { return method == MergeMethod::kDare || method == MergeMethod::kDareTies; }

// What is done to one tensor: settings at its place, and what was measured.
struct Plan {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> weights;                      // one a model
  std::vector<double> densities;                   // likewise
  std::vector<std::unique_ptr<KeptLargest>> kept;  // likewise, of TIES; null: all of it
  std::vector<std::uint64_t> keys;                 // likewise, of chance
  std::vector<float> scales;                       // likewise: makes up for what chance dropped
  double t = 0;
  float left = 0, right = 0;  // SLERP's factors
  std::int64_t row() const { return shape.size() == 1 ? 1 : shape[1]; }
};

struct Merge {
  const ModelFiles* base;
  std::vector<const ModelFiles*> models;
  MergeSettings settings;
  std::vector<Plan> plans;
};

// Rows of what model `i` adds to the base.
void read_delta(const Merge& merge, const Plan& plan, std::size_t i, std::int64_t first, std::span<const float> base,
                std::span<float> out) {
  read_part(*merge.models[i], plan.name, first, out);
  array(out) -= ConstArray(base.data(), static_cast<Eigen::Index>(base.size()));
}

void drop(const Plan& plan, std::size_t i, std::int64_t first, std::span<float> values) {
  drop_by_chance(plan.keys[i], plan.densities[i], first * plan.row(), values);
}

// Of what model `i` adds, what its method keeps, times its weight.
void weigh(const Merge& merge, const Plan& plan, std::size_t i, std::int64_t first, std::span<float> values) {
  if (plan.kept[i]) plan.kept[i]->prune(first, values);
  if (drops_by_chance(merge.settings.method) && plan.densities[i] < 1) {
    drop(plan, i, first, values);
    array(values) *= plan.scales[i];
  }
  array(values) *= plan.weights[i];
}

// At each place, only what has the sign of the sum counts.
void elect(const Merge& merge, const Plan& plan, const std::vector<std::vector<float>>& deltas, std::span<float> out) {
  const float lambda{static_cast<float>(merge.settings.lambda)};
  for (std::size_t k = 0; k < out.size(); ++k) {
    float sum = 0, mixed = 0, divisor = 0;
    for (const std::vector<float>& delta : deltas) sum += delta[k];
    const bool is_positive{sum >= 0};
    for (std::size_t i = 0; i < deltas.size(); ++i) {
      const float value{deltas[i][k]};
      if (value == 0 || (value > 0) != is_positive) continue;
      mixed += value;
      divisor += plan.weights[i];
    }
    if (merge.settings.normalised && divisor != 0) mixed /= divisor;
    out[k] += lambda * mixed;
  }
}

float sum_of(const std::vector<float>& weights) {
  float sum = 0;
  for (const float weight : weights) sum += weight;
  return sum;
}

void read_on_base(const Merge& merge, const Plan& plan, std::int64_t first, std::span<float> out) {
  read_part(*merge.base, plan.name, first, out);
  if (elects_signs(merge.settings.method)) {
    std::vector<std::vector<float>> deltas(merge.models.size());
    for (std::size_t i = 0; i < deltas.size(); ++i) {
      deltas[i].resize(out.size());
      read_delta(merge, plan, i, first, out, deltas[i]);
      weigh(merge, plan, i, first, deltas[i]);
    }
    return elect(merge, plan, deltas, out);
  }
  std::vector<float> delta(out.size()), mixed(out.size(), 0.0F);
  for (std::size_t i = 0; i < merge.models.size(); ++i) {
    read_delta(merge, plan, i, first, out, delta);
    weigh(merge, plan, i, first, delta);
    array(mixed) += array(delta);
  }
  const float sum{sum_of(plan.weights)};
  if (merge.settings.normalised && std::fabs(sum) >= static_cast<float>(kNoNorm)) array(mixed) /= sum;
  array(out) += static_cast<float>(merge.settings.lambda) * array(mixed);
}

void read_linear(const Merge& merge, const Plan& plan, std::int64_t first, std::span<float> out) {
  std::ranges::fill(out, 0.0F);
  std::vector<float> values(out.size());
  for (std::size_t i = 0; i < merge.models.size(); ++i) {
    read_part(*merge.models[i], plan.name, first, values);
    array(out) += plan.weights[i] * array(values);
  }
  if (merge.settings.normalised) array(out) /= sum_of(plan.weights);
}

void read_slerp(const Merge& merge, const Plan& plan, std::int64_t first, std::span<float> out) {
  std::vector<float> values(out.size());
  read_part(*merge.models[0], plan.name, first, out);
  read_part(*merge.models[1], plan.name, first, values);
  array(out) = plan.left * array(out) + plan.right * array(values);
}

// Calls visit(first row, the rows of base or first model, those of model `i`).
void each_pair(const Merge& merge, const Plan& plan, const ModelFiles& one, std::size_t i, std::int64_t unit,
               const std::function<void(std::int64_t, std::vector<float>&, std::vector<float>&)>& visit) {
  std::vector<float> left, right;
  for (const RowRange& rows : row_ranges(plan.shape, unit)) {
    left.resize(static_cast<std::size_t>(rows.count * plan.row()));
    right.resize(left.size());
    read_part(one, plan.name, rows.first, left);
    read_part(*merge.models[i], plan.name, rows.first, right);
    visit(rows.first, left, right);
  }
}

// The angle of both tensors as one vector each; where they are nearly parallel, the line.
void measure_angle(const Merge& merge, Plan& plan, std::int64_t unit) {
  double left = 0, right = 0, product = 0;
  each_pair(merge, plan, *merge.models[0], 1, unit,
            [&](std::int64_t, std::vector<float>& one, std::vector<float>& other) {
              const Array a = array(one), b = array(other);
              left += a.cast<double>().square().sum(), right += b.cast<double>().square().sum();
              product += (a.cast<double>() * b.cast<double>()).sum();
            });
  const auto norm = [](double squares) { return std::sqrt(squares) > kNoNorm ? std::sqrt(squares) : 1.0; };
  const double cosine{std::clamp(product / (norm(left) * norm(right)), -1.0, 1.0)};
  if (std::fabs(cosine) > kNearlyParallel) {
    plan.left = static_cast<float>(1 - plan.t), plan.right = static_cast<float>(plan.t);
    return;
  }
  const double angle{std::acos(cosine)};
  plan.left = static_cast<float>(std::sin((1 - plan.t) * angle) / std::sin(angle));
  plan.right = static_cast<float>(std::sin(plan.t * angle) / std::sin(angle));
}

void measure_dropped(const Merge& merge, Plan& plan, std::size_t i, std::int64_t unit) {
  double before = 0, after = 0;
  each_pair(merge, plan, *merge.base, i, unit,
            [&](std::int64_t first, std::vector<float>& base, std::vector<float>& values) {
              array(values) -= array(base);
              before += array(values).cast<double>().abs().sum();
              drop(plan, i, first, values);
              after += array(values).cast<double>().abs().sum();
            });
  if (before >= kNoSum && after >= kNoSum) plan.scales[i] = static_cast<float>(before / after);
}

// At least one number, whatever the density.
void measure_largest(const Merge& merge, Plan& plan, std::size_t i, std::int64_t unit) {
  const std::int64_t rows{plan.shape[0]}, numbers{rows * plan.row()};
  const auto read = [&](std::int64_t first, std::span<float> out) {
    std::vector<float> base(out.size());
    read_part(*merge.base, plan.name, first, base);
    read_delta(merge, plan, i, first, base, out);
    if (!array(out).allFinite())
      throw base::Error({"the weights are not finite numbers", merge.models[i]->path().string() + ": " + plan.name, "",
                         "", "the model is damaged; fetch it again"});
  };
  const double keep{std::max<double>(1, plan.densities[i] * static_cast<double>(numbers))};
  plan.kept[i] = std::make_unique<KeptLargest>(TensorRows{rows, plan.row(), row_ranges(plan.shape, unit), read},
                                               static_cast<std::int64_t>(keep), 1);
}

// What the method must know of model `i`'s whole tensor.
void measure(const Merge& merge, Plan& plan, std::size_t i, std::int64_t unit) {
  const MergeSettings& settings = merge.settings;
  if (settings.method == MergeMethod::kSlerp && i == 1) measure_angle(merge, plan, unit);
  if (!keeps_some(settings.method) || plan.densities[i] >= 1) return;
  if (settings.method == MergeMethod::kTies) return measure_largest(merge, plan, i, unit);
  if (settings.rescale == Rescale::kNorm) measure_dropped(merge, plan, i, unit);
  if (settings.rescale == Rescale::kDensity) plan.scales[i] = static_cast<float>(1 / plan.densities[i]);
}

// 0 in the first layer, 1 in the last.
double place_of(const std::string& name, std::int64_t layers) {
  const std::int64_t block{block_name(name).block};
  if (block < 0) return 0;
  return layers > 1 ? static_cast<double>(block) / static_cast<double>(layers - 1) : 1;
}

Plan plan_of(const Merge& merge, const TensorSpec& tensor, std::int64_t layers) {
  const MergeSettings& settings = merge.settings;
  Plan plan;
  plan.name = tensor.name, plan.shape = tensor.shape;
  const double place{place_of(tensor.name, layers)};
  for (std::size_t i = 0; i < merge.models.size(); ++i) {
    plan.weights.push_back(static_cast<float>(settings.weights[i].at(place)));
    plan.densities.push_back(keeps_some(settings.method) ? settings.densities[i].at(place) : 1);
    plan.keys.push_back(chance_key(settings.seed + i, tensor.name));
  }
  plan.kept.resize(merge.models.size());
  plan.scales.assign(merge.models.size(), 1);
  for (const LayerCurve& curve : settings.t)
    if (tensor.name.find(curve.part) != std::string::npos) {
      plan.t = curve.at(place);
      break;
    }
  if (settings.method == MergeMethod::kLinear && settings.normalised && sum_of(plan.weights) == 0)
    throw base::UsageError({"weights that add up to 0 cannot be divided by their sum", "weights", plan.name, "",
                            "choose others, or --normalize no"});
  return plan;
}

}  // namespace

MadeModel merged_models(const ModelFiles* base, const std::vector<const ModelFiles*>& models, const ModelFiles& shape,
                        const MergeSettings& settings, base::DType type, bool keep_types, int threads,
                        const std::function<void(double)>& progress) {
  auto merge = std::make_shared<Merge>(Merge{base, models, settings, {}});
  MadeModel made = made_of(
      shape, shape.spec(), [](const std::string& name) { return name; }, type, keep_types);
  const std::vector<TensorSpec> tensors = tensors_of(shape.spec());
  for (const TensorSpec& tensor : tensors) merge->plans.push_back(plan_of(*merge, tensor, shape.config().layers));
  const std::size_t jobs{tensors.size() * models.size()};
  std::atomic<std::size_t> done = 0;
  base::parallel_for(jobs, base::thread_count(threads), [&](std::size_t job, int worker) {
    measure(*merge, merge->plans[job / models.size()], job % models.size(), shape.config().head_dim);
    ++done;
    if (worker == 0 && progress) progress(static_cast<double>(done) / static_cast<double>(jobs));
  });
  const auto read = settings.method == MergeMethod::kLinear  ? read_linear
                    : settings.method == MergeMethod::kSlerp ? read_slerp
                                                             : read_on_base;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    made.tensors[i].read = [merge, i, read](std::int64_t first, std::span<float> out) {
      read(*merge, merge->plans[i], first, out);
    };
  return made;
}

}  // namespace lora
