// Two adapters compared. Tested by tests/lora/fuse/compare_test.cc.
#include "lora/fuse/compare.h"

#include <fmt/format.h>

#include <Eigen/SVD>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>

#include "base/error.h"
#include "base/parallel.h"
#include "lora/fuse/factors.h"

namespace lora {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;

Eigen::VectorXd singular_values(const MatrixXd& matrix) { return Eigen::BDCSVD<MatrixXd>(matrix).singularValues(); }

// Of two spaces by orthonormal bases. Small angles by their sine, which a cosine near 1 no longer tells.
std::vector<double> angles_between(const MatrixXd& left, const MatrixXd& right) {
  if (left.cols() < right.cols()) return angles_between(right, left);
  const MatrixXd product = left.transpose() * right;
  const Eigen::VectorXd cosines = singular_values(product);
  const Eigen::VectorXd sines = singular_values(right - left * product);
  std::vector<double> angles;
  for (Index i = 0; i < cosines.size(); ++i) {
    const double sine{sines[sines.size() - 1 - i]};
    const double angle{sine * sine < 0.5 ? std::asin(sine) : std::acos(std::min(1.0, cosines[i]))};
    angles.push_back(angle * 180 / std::numbers::pi);
  }
  return angles;
}

void compare_both(ModuleComparison& result, const AdapterModule& a, const AdapterModule& b) {
  if (a.in != b.in || a.out != b.out)
    throw base::Error({"a module has different shapes in the two adapters", a.name,
                       fmt::format("{} -> {}", b.in, b.out), fmt::format("{} -> {}", a.in, a.out),
                       "only adapters of one base can be compared"});
  const Factors of_a = factors_of(a), of_b = factors_of(b);
  const ThinSvd svd_a = svd_of(of_a), svd_b = svd_of(of_b);
  const std::array<Factors, 2> parts = {of_a, factors_of(b, -1)};
  result.squared_norm_a = svd_a.squared_norm, result.squared_norm_b = svd_b.squared_norm;
  result.inner_product = inner_product(of_a, of_b);
  result.squared_difference = svd_of(sum_of(parts)).squared_norm;
  // A change of nothing has no space.
  result.rank_a = svd_a.squared_norm > 0 ? effective_rank(svd_a) : 0;
  result.rank_b = svd_b.squared_norm > 0 ? effective_rank(svd_b) : 0;
  if (result.rank_a == 0 || result.rank_b == 0) return;
  result.column_angles = angles_between(svd_a.u.leftCols(result.rank_a), svd_b.u.leftCols(result.rank_b));
  result.row_angles = angles_between(svd_a.v.leftCols(result.rank_a), svd_b.v.leftCols(result.rank_b));
}

void compare_one(ModuleComparison& result, const AdapterModule& module, bool is_a) {
  const ThinSvd svd = svd_of(factors_of(module));
  (is_a ? result.squared_norm_a : result.squared_norm_b) = svd.squared_norm;
  (is_a ? result.rank_a : result.rank_b) = svd.squared_norm > 0 ? effective_rank(svd) : 0;
  result.squared_difference = svd.squared_norm;
}

}  // namespace

std::vector<ModuleNorm> norms_of(const Adapter& adapter, int threads) {
  std::vector<ModuleNorm> norms(adapter.modules.size());
  base::parallel_for(norms.size(), threads, [&](std::size_t i, int) {
    const ThinSvd svd = svd_of(factors_of(adapter.modules[i]));
    norms[i] = {adapter.modules[i].name, std::sqrt(svd.squared_norm), svd.s[0]};
  });
  return norms;
}

std::vector<ModuleComparison> compared(const Adapter& a, const Adapter& b, int threads) {
  std::map<std::string, const AdapterModule*> of_b;
  for (const AdapterModule& module : b.modules) of_b[module.name] = &module;
  std::vector<std::array<const AdapterModule*, 2>> pairs;
  for (const AdapterModule& module : a.modules) {
    const auto same = of_b.find(module.name);
    pairs.push_back({&module, same == of_b.end() ? nullptr : same->second});
    if (same != of_b.end()) of_b.erase(same);
  }
  for (const AdapterModule& module : b.modules)
    if (of_b.contains(module.name)) pairs.push_back({nullptr, &module});
  std::vector<ModuleComparison> results(pairs.size());
  base::parallel_for(pairs.size(), threads, [&](std::size_t i, int) {
    const auto [left, right] = pairs[i];
    results[i].name = (left ? left : right)->name;
    if (left && right) {
      compare_both(results[i], *left, *right);
    } else {
      compare_one(results[i], left ? *left : *right, left != nullptr);
    }
  });
  return results;
}

double overlap_of(const std::vector<double>& angles) {
  if (angles.empty()) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (const double angle : angles) sum += std::pow(std::cos(angle * std::numbers::pi / 180), 2);
  return sum / static_cast<double>(angles.size());
}

}  // namespace lora
