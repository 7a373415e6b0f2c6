#include "lora/compose/kept_largest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"
#include "tests/error_of.h"

namespace {

using lora::KeptLargest;

lora::RowReader reader_of(const std::vector<float>& values, std::int64_t row) {
  return [&values, row](std::int64_t first, std::span<float> out) {
    std::copy_n(values.begin() + first * row, out.size(), out.begin());
  };
}

// By sorting all of it, the earlier of equal ones first.
std::vector<float> by_sorting(std::vector<float> values, double density) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return std::fabs(values[a]) > std::fabs(values[b]); });
  const auto wanted = static_cast<std::size_t>(std::max(1.0, density * static_cast<double>(values.size())));
  for (std::size_t i = wanted; i < order.size(); ++i) values[order[i]] = 0;
  return values;
}

// Random numbers, and coarse ones of which many are equal; all at once and a few rows at a time.
TEST(KeptLargest, KeepsWhatSortingKeeps) {
  base::Random random(3);
  for (const double step : {0.0, 0.25, 1.0}) {
    const std::int64_t rows{1500}, row{1100};  // in several parts
    std::vector<float> values(static_cast<std::size_t>(rows * row));
    for (float& value : values) {
      const double number{random.uniform() * 6 - 3};
      value = static_cast<float>(step == 0 ? number * number * number : std::round(number / step) * step);
    }
    for (const double density : {1e-9, 0.1, 0.37, 0.99, 1.0}) {
      const KeptLargest kept("x", reader_of(values, row), {rows, row}, 4, density);
      const std::vector<float> expected = by_sorting(values, density);
      std::vector<float> found = values;
      kept.prune(0, found);
      EXPECT_EQ(found, expected) << step << " " << density;
      std::vector<float> part(values.begin() + 700 * row, values.begin() + 900 * row);
      kept.prune(700, part);
      EXPECT_TRUE(std::ranges::equal(part, std::span(expected).subspan(700 * row, part.size())));
    }
  }
}

TEST(KeptLargest, OfAVectorAndByHand) {
  const std::vector<float> values = {1, -3, 2, -2, 0, 2};
  const KeptLargest kept("x", reader_of(values, 1), {6}, 1, 0.5);  // 3, then the first two of size 2
  std::vector<float> found = values;
  kept.prune(0, found);
  EXPECT_EQ(found, (std::vector<float>{0, -3, 2, -2, 0, 0}));
}

TEST(KeptLargest, RefusesWhatIsNotFinite) {
  const std::vector<float> values = {1, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THAT(error_of([&] { KeptLargest("the.weight", reader_of(values, 1), {2}, 1, 0.5); }),
              testing::HasSubstr("the.weight"));
}

}  // namespace
