// Products of a matrix of floats against the same written number by number, by every kernel that runs here.
#include "lora/fuse/dense_matrix.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using lora::DenseMatrix;

MatrixXd random_matrix(Index rows, Index columns, std::uint64_t seed) {
  MatrixXd matrix(rows, columns);
  base::Random random(seed);
  for (double& value : matrix.reshaped()) value = random.uniform() - 0.5;
  return matrix;
}

// Sides that are no multiples of a panel, of a register or of the depth of a panel, and some pieces for threads.
TEST(DenseMatrix, ProductsAreTheSumsOfTheirProducts) {
  const struct {
    Index rows, columns, k;
  } kShapes[] = {{1, 1, 1}, {5, 7, 3}, {13, 40, 8}, {96, 2049, 24}, {5000, 130, 33}, {700, 900, 16}};
  for (const auto& shape : kShapes) {
    std::vector<float> values;
    base::Random random(1);
    for (Index i = 0; i < shape.rows * shape.columns; ++i) values.push_back(static_cast<float>(random.uniform() - 0.5));
    const MatrixXd x = random_matrix(shape.columns, shape.k, 2), y = random_matrix(shape.rows, shape.k, 3);
    const DenseMatrix any(values, shape.rows, shape.columns, 1);
    const MatrixXd whole = any.whole(), product = whole * x, turned = whole.transpose() * y;
    EXPECT_EQ(whole(shape.rows - 1, 0), values[static_cast<std::size_t>((shape.rows - 1) * shape.columns)]);
    EXPECT_NEAR(any.squared_norm(), whole.squaredNorm(), 1e-12 * whole.squaredNorm());
    for (const auto& [name, kernel] : DenseMatrix::kernels()) {
      const DenseMatrix one(values, shape.rows, shape.columns, 1, name),
          two(values, shape.rows, shape.columns, 2, name);
      EXPECT_LT((one.times(x) - product).norm(), 1e-13 * product.norm()) << name << shape.rows;
      EXPECT_LT((one.turned_times(y) - turned).norm(), 1e-13 * turned.norm()) << name << shape.rows;
      EXPECT_EQ(one.times(x), two.times(x)) << name << shape.rows;
      EXPECT_EQ(one.turned_times(y), two.turned_times(y)) << name << shape.rows;
    }
  }
}

TEST(DenseMatrix, AKernelThatCannotRunIsRefused) {
  const std::vector<float> values(6);
  EXPECT_THROW(DenseMatrix(values, 2, 3, 1, "abacus"), std::out_of_range);
}

}  // namespace
