// The product of an adapter's two thin matrices, added to rows of a weight: sums of a few rows and columns stay in
// registers. Eigen knows the processor when it is compiled only, which is the oldest one; this takes half of its
// time. Compiled without contraction (see CMakeLists.txt). Tested by tests/lora/adapter/add_product_test.cc.
#include "lora/adapter/add_product.h"

#include <cstring>

#include "base/clones.h"

namespace lora {
namespace {

constexpr int kLanes = 8, kVectors = 4, kRows = 2, kWide = kLanes * kVectors;

}  // namespace

BASE_CLONES void add_product(const float* b, const float* a, std::int64_t rows, std::int64_t rank, std::int64_t columns,
                             float scale, float* out) {
  typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
  const std::int64_t whole{columns / kWide * kWide};
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) {
    for (std::int64_t column = 0; column < whole; column += kWide) {
      Vector sums[kRows][kVectors];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[r][v] = Vector{};
      for (std::int64_t i = 0; i < rank; ++i) {
        Vector values[kVectors];  // loaded one by one, since copies of whole arrays would stay in memory
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
          std::memcpy(&values[v], a + i * columns + column + v * kLanes, sizeof(Vector));
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) sums[r][v] += b[(row + r) * rank + i] * values[v];
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          float* const place = out + (row + r) * columns + column + v * kLanes;
          Vector value;
          std::memcpy(&value, place, sizeof(Vector));
          value += scale * sums[r][v];
          std::memcpy(place, &value, sizeof(Vector));
        }
      }
    }
  }
  const auto add_one = [&](std::int64_t r, std::int64_t column) {
    float sum = 0;
    for (std::int64_t i = 0; i < rank; ++i) sum += b[r * rank + i] * a[i * columns + column];
    out[r * columns + column] += scale * sum;
  };
  for (std::int64_t r = 0; r < rows; ++r)  // what is left at the right, and below
    for (std::int64_t column = r < row ? whole : 0; column < columns; ++column) add_one(r, column);
}

}  // namespace lora
