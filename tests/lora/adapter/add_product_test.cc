#include "lora/adapter/add_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace {

std::vector<float> random_numbers(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// Shapes around the groups of rows and columns that are added at once.
TEST(AddProduct, IsTheSumOfTheProducts) {
  for (const std::int64_t rows : {1, 2, 3, 8})
    for (const std::int64_t rank : {1, 4, 17})
      for (const std::int64_t columns : {1, 31, 32, 33, 100}) {
        const std::vector<float> b = random_numbers(rows * rank, 1), a = random_numbers(rank * columns, 2),
                                 before = random_numbers(rows * columns, 3);
        std::vector<float> out = before;
        lora::add_product(b.data(), a.data(), rows, rank, columns, 1.5f, out.data());
        for (std::int64_t row = 0; row < rows; ++row)
          for (std::int64_t column = 0; column < columns; ++column) {
            double sum = 0, sizes = 0;
            for (std::int64_t i = 0; i < rank; ++i) {
              const double product{static_cast<double>(b[static_cast<std::size_t>(row * rank + i)]) *
                                   a[static_cast<std::size_t>(i * columns + column)]};
              sum += product;
              sizes += std::fabs(product);
            }
            const auto place = static_cast<std::size_t>(row * columns + column);
            ASSERT_NEAR(out[place], before[place] + 1.5 * sum, 2e-7 * (std::fabs(before[place]) + 2 * sizes))
                << rows << " x " << rank << " x " << columns << ": " << row << ", " << column;
          }
      }
}

TEST(AddProduct, HasTheSameBitsWhateverRowsAreAddedAtOnce) {
  const std::int64_t rows{7}, rank{5}, columns{75};
  const std::vector<float> b = random_numbers(rows * rank, 4), a = random_numbers(rank * columns, 5);
  std::vector<float> whole(static_cast<std::size_t>(rows * columns)), parts = whole;
  lora::add_product(b.data(), a.data(), rows, rank, columns, 0.3f, whole.data());
  for (std::int64_t row = 0; row < rows; ++row)
    lora::add_product(b.data() + row * rank, a.data(), 1, rank, columns, 0.3f, parts.data() + row * columns);
  EXPECT_EQ(whole, parts);
}

}  // namespace
