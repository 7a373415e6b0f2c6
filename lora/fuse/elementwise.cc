// TIES, DARE and pruning of true changes. Tested by tests/lora/fuse/elementwise_test.cc.
#include "lora/fuse/elementwise.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/magnitude.h"
#include "base/parallel.h"
#include "base/random.h"
#include "lora/adapter/kept_numbers.h"

namespace lora {
namespace {

using Eigen::Index;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// The rows of a weight in pieces, always the same ones, so that every pass computes the same numbers.
std::vector<RowRange> pieces_of(const AdapterModule& module) {
  const std::int64_t rows{std::max<std::int64_t>(1, (std::int64_t{1} << 18) / module.in)};
  std::vector<RowRange> pieces;
  for (std::int64_t first = 0; first < module.out; first += rows)
    pieces.push_back({first, std::min(rows, module.out - first)});
  return pieces;
}

std::span<float> numbers_of(RowMajor& change) { return {change.data(), static_cast<std::size_t>(change.size())}; }

RowMajor change_of(const AdapterModule& module, Index first, Index count) {
  const Eigen::Map<const RowMajor> a(module.a.data(), module.rank, module.in);
  const Eigen::Map<const RowMajor> b(module.b.data() + first * module.rank, count, module.rank);
  RowMajor change = (b * a) * static_cast<float>(module.scale);
  if (!std::isfinite(base::largest_magnitude(numbers_of(change))))
    throw base::Error({"the adapter's numbers are not finite", module.name, "", "",
                       "the adapter is damaged; did the training diverge?"});
  return change;
}

KeptLargest largest_of(const AdapterModule& module, double density, int threads) {
  const auto read = [&](std::int64_t first, std::span<float> out) {
    RowMajor rows = change_of(module, first, static_cast<Index>(out.size()) / module.in);
    std::ranges::copy(numbers_of(rows), out.begin());
  };
  const double keep{density * static_cast<double>(module.out * module.in)};
  return {{module.out, module.in, pieces_of(module), read}, static_cast<std::int64_t>(keep), threads};
}

void drop(RowMajor& change, double density, const WeightedModule& weighted, std::uint64_t seed, Index first) {
  const std::uint64_t key{chance_key(seed ^ base::mix64(weighted.number + 1), weighted.module->name)};
  drop_by_chance(key, density, first * change.cols(), numbers_of(change));
  change /= static_cast<float>(density);
}

// The numbers of one place in all changes.
float elected(std::span<const RowMajor> changes, std::span<const float> weights, Index place, bool by_frequency) {
  float total = 0;
  for (const RowMajor& change : changes) {
    const float value{change.data()[place]};
    total += by_frequency ? static_cast<float>((value > 0) - (value < 0)) : value;
  }
  const bool is_positive{total >= 0};
  float sum = 0;
  int count = 0;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const float value{changes[i].data()[place]};
    if (value == 0 || (value > 0) != is_positive) continue;
    sum += value * weights[i];
    ++count;
  }
  return sum / static_cast<float>(std::max(count, 1));
}

}  // namespace

std::vector<float> joined(std::span<const WeightedModule> modules, const ElementwiseSettings& settings, int threads) {
  const AdapterModule& shape = *modules.front().module;
  const std::vector<RowRange> pieces = pieces_of(shape);
  const bool prunes{settings.density < 1};
  std::vector<KeptLargest> kept;  // one a module, where the largest are
  std::vector<float> weights;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    weights.push_back(static_cast<float>(modules[i].weight));
    if (prunes && !settings.at_random) kept.push_back(largest_of(*modules[i].module, settings.density, threads));
  }
  std::vector<float> result(static_cast<std::size_t>(shape.out * shape.in));
  base::parallel_for(pieces.size(), threads, [&](std::size_t piece, int) {
    const Index first{pieces[piece].first}, count{pieces[piece].count};
    std::vector<RowMajor> changes;
    for (std::size_t i = 0; i < modules.size(); ++i) {
      changes.push_back(change_of(*modules[i].module, first, count));
      if (prunes && settings.at_random) {
        drop(changes.back(), settings.density, modules[i], settings.seed, first);
      } else if (prunes) {
        kept[i].prune(first, numbers_of(changes.back()));
      }
    }
    Eigen::Map<RowMajor> out(result.data() + first * shape.in, count, shape.in);
    if (settings.elects_signs) {
      for (Index place = 0; place < out.size(); ++place)
        out.data()[place] = elected(changes, weights, place, settings.by_frequency);
      return;
    }
    out.setZero();
    for (std::size_t i = 0; i < changes.size(); ++i) out += weights[i] * changes[i];
  });
  return result;
}

}  // namespace lora
