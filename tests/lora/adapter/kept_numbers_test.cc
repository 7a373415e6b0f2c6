// Kept numbers against a sort of all of them, and against chance called for each place.
#include "lora/adapter/kept_numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace {

using lora::KeptLargest;

lora::TensorRows rows_of(const std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
  return {rows, columns, lora::row_ranges({rows, columns}, 4), [&values, columns](std::int64_t first, auto out) {
            std::copy_n(values.begin() + first * columns, out.size(), out.begin());
          }};
}

// By sorting all of it, the earlier of equal ones first.
std::vector<float> by_sorting(std::vector<float> values, std::int64_t keep) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return std::fabs(values[a]) > std::fabs(values[b]); });
  for (std::size_t i = static_cast<std::size_t>(keep); i < order.size(); ++i) values[order[i]] = 0;
  return values;
}

// Random numbers, and coarse ones of which many are equal; all at once and a few rows at a time.
TEST(KeptLargest, KeepsWhatSortingKeeps) {
  base::Random random(3);
  for (const double step : {0.0, 0.25, 1.0}) {
    const std::int64_t rows{1500}, columns{1100};  // in several parts
    std::vector<float> values(static_cast<std::size_t>(rows * columns));
    for (float& value : values) {
      const double number{random.uniform() * 6 - 3};
      value = static_cast<float>(step == 0 ? number * number * number : std::round(number / step) * step);
    }
    for (const std::int64_t keep : {0, 1, 165'000, 610'500, 1'633'500, 1'650'000}) {
      const KeptLargest kept(rows_of(values, rows, columns), keep, 3);
      const std::vector<float> expected = by_sorting(values, keep);
      std::vector<float> found = values;
      kept.prune(0, found);
      EXPECT_EQ(found, expected) << step << " " << keep;
      std::vector<float> part(values.begin() + 700 * columns, values.begin() + 900 * columns);
      kept.prune(700, part);
      EXPECT_TRUE(std::ranges::equal(part, std::span(expected).subspan(700 * columns, part.size())));
    }
  }
}

TEST(KeptLargest, OfAVectorAndByHand) {
  const std::vector<float> values = {1, -3, 2, -2, 0, 2};
  const KeptLargest kept(rows_of(values, 6, 1), 3, 1);  // 3, then the first two of size 2
  std::vector<float> found = values;
  kept.prune(0, found);
  EXPECT_EQ(found, (std::vector<float>{0, -3, 2, -2, 0, 0}));
}

TEST(DropByChance, KeepsItsShareAndTheSameNumbersInParts) {
  const std::vector<float> ones(100'000, 1);
  const std::uint64_t key{lora::chance_key(7, "a.weight")};
  std::vector<float> whole = ones, parts = ones;
  lora::drop_by_chance(key, 0.3, 0, whole);
  lora::drop_by_chance(key, 0.3, 0, std::span(parts).first(777));
  lora::drop_by_chance(key, 0.3, 777, std::span(parts).subspan(777));
  EXPECT_EQ(whole, parts);
  EXPECT_NEAR(static_cast<double>(std::ranges::count(whole, 1.0F)), 30'000, 5 * std::sqrt(100'000 * 0.3 * 0.7));
  for (const std::uint64_t another : {lora::chance_key(8, "a.weight"), lora::chance_key(7, "b.weight")}) {
    std::vector<float> other = ones;
    lora::drop_by_chance(another, 0.3, 0, other);
    EXPECT_NE(other, whole);
  }
}

}  // namespace
