// TIES, DARE and pruning against the same written number by number.
#include "lora/fuse/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/lora/fuse/changes.h"

namespace {

using lora::AdapterModule;
using lora::ElementwiseSettings;
using lora::WeightedModule;
using lora_tests::random_module;
using lora_tests::RowMajor;

// As joined computes it, in float32: borders between numbers must be the same.
std::vector<float> change_of(const AdapterModule& module) {
  const Eigen::Map<const RowMajor> a(module.a.data(), module.rank, module.in);
  const Eigen::Map<const RowMajor> b(module.b.data(), module.out, module.rank);
  const RowMajor change = (b * a) * static_cast<float>(module.scale);
  return {change.data(), change.data() + change.size()};
}

// The `keep` largest, of equal ones the first.
std::vector<float> pruned(std::vector<float> values, std::size_t keep) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order,
                           [&](std::size_t l, std::size_t r) { return std::fabs(values[l]) > std::fabs(values[r]); });
  for (std::size_t i = keep; i < order.size(); ++i) values[order[i]] = 0;
  return values;
}

std::vector<float> expected(const std::vector<std::vector<float>>& changes, const std::vector<float>& weights,
                            bool elects, bool by_frequency) {
  std::vector<float> result(changes[0].size());
  for (std::size_t place = 0; place < result.size(); ++place) {
    float total = 0, sum = 0;
    int count = 0;
    for (const auto& change : changes)
      total += by_frequency ? static_cast<float>((change[place] > 0) - (change[place] < 0)) : change[place];
    for (std::size_t i = 0; i < changes.size(); ++i) {
      const float value{changes[i][place]};
      const int sign{value > 0 ? 1 : value < 0 ? -1 : 0};
      if (elects && sign != (total >= 0 ? 1 : -1)) continue;
      sum += weights[i] * value;
      ++count;
    }
    result[place] = elects ? sum / static_cast<float>(std::max(count, 1)) : sum;
  }
  return result;
}

double difference(const std::vector<float>& left, const std::vector<float>& right) {
  double most = 0;
  for (std::size_t i = 0; i < left.size(); ++i) most = std::max(most, std::fabs(double{left[i]} - right[i]));
  return left.size() == right.size() ? most : INFINITY;
}

// Rows in several pieces: 262,144 numbers make one.
const AdapterModule kOne = random_module("m", 3, 700, 900, 1), kTwo = random_module("m", 4, 700, 900, 2, 0.5),
                    kThree = random_module("m", 2, 700, 900, 3);
const std::vector<WeightedModule> kModules = {{&kOne, 0.7, 0}, {&kTwo, -0.4, 1}, {&kThree, 1.3, 2}};
const std::vector<float> kWeights = {0.7F, -0.4F, 1.3F};

TEST(Elementwise, PruningAndTiesAreWhatTheySay) {
  for (const double density : {1.0, 0.37, 0.01}) {
    const auto keep = static_cast<std::size_t>(density * 700 * 900);
    std::vector<std::vector<float>> changes;
    for (const WeightedModule& weighted : kModules) changes.push_back(pruned(change_of(*weighted.module), keep));
    for (const bool elects : {false, true})
      for (const bool by_frequency : {false, true}) {
        const ElementwiseSettings settings{false, elects, by_frequency, density, 0};
        const std::vector<float> got = lora::joined(kModules, settings, 2);
        EXPECT_LT(difference(got, expected(changes, kWeights, elects, by_frequency)), 1e-6)
            << density << elects << by_frequency;
        EXPECT_EQ(got, lora::joined(kModules, settings, 1));
      }
  }
}

TEST(Elementwise, OfEqualNumbersAtTheBorderTheFirstAreKept) {
  AdapterModule module = random_module("m", 1, 1000, 700, 1, 1);
  for (float& value : module.a) value = value < 0 ? -1.0F : 1.0F;
  for (std::size_t i = 0; i < module.b.size(); ++i) module.b[i] = i % 100 == 0 ? 2.0F : i % 7 == 0 ? 0.0F : 0.5F;
  const std::vector<WeightedModule> modules = {{&module, 1, 0}};
  for (const double density : {0.005, 0.01, 0.4, 0.8571, 0.99}) {
    const std::vector<float> got = lora::joined(modules, {false, false, false, density, 0}, 2);
    EXPECT_EQ(got, pruned(change_of(module), static_cast<std::size_t>(density * 1000 * 700))) << density;
  }
}

TEST(Elementwise, ChanceKeepsItsShareAndWhatIsMeant) {
  const std::vector<float> change = change_of(kOne);
  const std::vector<WeightedModule> one = {{&kOne, 1, 0}};
  const double size{700.0 * 900};
  const std::vector<float> got = lora::joined(one, {true, false, false, 0.3, 7}, 2);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == 0) continue;
    ++kept;
    ASSERT_FLOAT_EQ(got[i], change[i] / 0.3F);
  }
  EXPECT_NEAR(static_cast<double>(kept) / size, 0.3, 5 * std::sqrt(0.3 * 0.7 / size));
  EXPECT_EQ(got, lora::joined(one, {true, false, false, 0.3, 7}, 1));  // for any number of threads
  EXPECT_NE(got, lora::joined(one, {true, false, false, 0.3, 8}, 2));  // another seed drops others
  // So does another adapter, of the same numbers: what both keep is a share of 0.09.
  const std::vector<WeightedModule> second = {{&kOne, 1, 1}};
  const std::vector<float> other = lora::joined(second, {true, false, false, 0.3, 7}, 2);
  std::size_t both = 0;
  for (std::size_t i = 0; i < got.size(); ++i) both += got[i] != 0 && other[i] != 0 ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(both) / size, 0.09, 0.005);
  // Signs are elected among what chance kept.
  const ElementwiseSettings settings{true, true, false, 0.3, 7};
  std::vector<std::vector<float>> changes;
  for (const WeightedModule& weighted : kModules)
    changes.push_back(lora::joined(std::vector<WeightedModule>{{weighted.module, 1, weighted.number}},
                                   {true, false, false, 0.3, 7}, 2));
  EXPECT_LT(difference(lora::joined(kModules, settings, 2), expected(changes, kWeights, true, false)), 1e-6);
}

}  // namespace
