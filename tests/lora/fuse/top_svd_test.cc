// The largest singular values against a decomposition of the whole, for spectra that fall, that hardly do, and none.
#include "lora/fuse/top_svd.h"

#include <gtest/gtest.h>

#include <Eigen/SVD>
#include <cmath>

#include "tests/lora/fuse/changes.h"

namespace {

using Eigen::MatrixXd;
using lora::ThinSvd;
using lora_tests::RowMajor;

MatrixXd noise(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  MatrixXd matrix(rows, columns);
  base::Random random(seed);
  for (double& value : matrix.reshaped()) value = random.uniform() + random.uniform() + random.uniform() - 1.5;
  return matrix;
}

ThinSvd svd_of(const RowMajor& matrix, std::int64_t rank, int threads = 2) {
  return lora::top_svd({matrix.data(), static_cast<std::size_t>(matrix.size())}, matrix.rows(), matrix.cols(), rank,
                       threads);
}

// The error of the cut, as a share of the least that is possible at this rank.
double against_the_best(const RowMajor& matrix, std::int64_t rank) {
  const MatrixXd whole = matrix.cast<double>();
  const Eigen::BDCSVD<MatrixXd> expected(whole);
  const double best{expected.singularValues().tail(expected.singularValues().size() - rank).norm()};
  const ThinSvd svd = svd_of(matrix, rank);
  EXPECT_EQ(svd.s.size(), rank);
  EXPECT_LT((svd.u.transpose() * svd.u - MatrixXd::Identity(rank, rank)).norm(), 1e-10);
  const double error{(svd.u * svd.s.asDiagonal() * svd.v.transpose() - whole).norm()};
  EXPECT_NEAR(std::sqrt(lora::squared_error(svd, rank)), error, 1e-9 * whole.norm());
  return error / best;
}

TEST(TopSvd, IsTheBestWhereTheSpectrumFalls) {
  for (const auto& [rows, columns] : {std::pair{260, 330}, std::pair{330, 260}}) {
    MatrixXd matrix = MatrixXd::Zero(rows, columns);
    for (int i = 0; i < 60; ++i)
      matrix += std::pow(0.85, i) * noise(rows, 1, 2 * static_cast<unsigned>(i)) *
                noise(1, columns, 1 + 2 * static_cast<unsigned>(i));
    EXPECT_LT(against_the_best(matrix.cast<float>(), 16), 1 + 1e-5);
  }
}

TEST(TopSvd, IsTheBestWhereItHardlyFalls) {
  // Noise alone; and noise around something, as numbers dropped by chance leave it.
  const MatrixXd flat = noise(300, 420, 5);
  EXPECT_LT(against_the_best(flat.cast<float>(), 8), 1 + 1e-5);
  EXPECT_LT(against_the_best(flat.cast<float>(), 40), 1 + 1e-5);
  const MatrixXd around = flat + noise(300, 4, 6) * noise(4, 420, 7);
  EXPECT_LT(against_the_best(around.cast<float>(), 16), 1 + 1e-5);
}

TEST(TopSvd, SmallMatricesAndLargeRanksAreDecomposedWhole) {
  EXPECT_LT(against_the_best(noise(40, 90, 5).cast<float>(), 7), 1 + 1e-9);
  EXPECT_LT(against_the_best(noise(90, 40, 5).cast<float>(), 7), 1 + 1e-9);
  EXPECT_LT(against_the_best(noise(200, 150, 5).cast<float>(), 60), 1 + 1e-9);
}

TEST(TopSvd, WhatHasThisRankComesBackWhole) {
  const RowMajor matrix = (noise(400, 3, 1) * noise(3, 300, 2)).cast<float>();
  const ThinSvd svd = svd_of(matrix, 8);
  const MatrixXd whole = matrix.cast<double>();
  EXPECT_LT((svd.u * svd.s.asDiagonal() * svd.v.transpose() - whole).norm(), 2e-7 * whole.norm());  // float32's own
  const ThinSvd nothing = svd_of(RowMajor::Zero(400, 300), 8);
  EXPECT_EQ(nothing.squared_norm, 0);
  EXPECT_EQ(nothing.s[0], 0);
}

TEST(TopSvd, DoesNotDependOnThreads) {
  const RowMajor matrix = noise(900, 1300, 5).cast<float>();
  const ThinSvd one = svd_of(matrix, 5, 1), many = svd_of(matrix, 5, 3);
  EXPECT_EQ(one.u, many.u);
  EXPECT_EQ(one.v, many.v);
}

}  // namespace
