// Thin matrices against decompositions of the whole ones.
#include "lora/fuse/factors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <Eigen/SVD>
#include <array>
#include <limits>

#include "tests/error_of.h"
#include "tests/lora/fuse/changes.h"

namespace {

using Eigen::MatrixXd;
using lora::AdapterModule;
using lora::Factors;
using lora::ThinSvd;
using lora_tests::change_of;
using lora_tests::random_module;
using lora_tests::relative;
using testing::HasSubstr;

struct Shape {
  std::int64_t rank, in, out;
};
// Wide, tall, square; a rank beyond a side.
const std::array<Shape, 4> kShapes = {Shape{5, 40, 23}, Shape{4, 19, 50}, Shape{7, 30, 30}, Shape{12, 9, 40}};

TEST(Factors, SingularValuesAndCutsAreThoseOfTheWholeMatrix) {
  for (const auto& [rank, in, out] : kShapes) {
    const AdapterModule module = random_module("m", rank, in, out, 3);
    const MatrixXd whole = change_of(module);
    const Eigen::JacobiSVD<MatrixXd> expected(whole);
    const ThinSvd svd = lora::svd_of(lora::factors_of(module));
    for (Eigen::Index i = 0; i < svd.s.size(); ++i)
      EXPECT_NEAR(svd.s[i], expected.singularValues()[i], 1e-12 * expected.singularValues()[0]);
    EXPECT_LT(relative(svd.u * svd.s.asDiagonal() * svd.v.transpose(), whole), 1e-13);
    EXPECT_NEAR(svd.squared_norm, whole.squaredNorm(), 1e-12 * whole.squaredNorm());
    for (std::int64_t cut = 1; cut <= svd.s.size(); ++cut) {
      const double best{expected.singularValues().tail(expected.singularValues().size() - cut).norm()};
      const AdapterModule made = lora::module_of("m", svd, cut);
      EXPECT_EQ(made.rank, cut);
      EXPECT_EQ(made.scale, 1);
      EXPECT_NEAR(std::sqrt(lora::squared_error(svd, cut)), best, 1e-7 * whole.norm());
      EXPECT_NEAR((change_of(made) - whole).norm(), best, 1e-6 * whole.norm());  // float32's rounding
    }
  }
}

TEST(Factors, ASumIsExactAndAsThinAsItsParts) {
  for (const auto& [rank, in, out] : kShapes) {
    const AdapterModule one = random_module("m", rank, in, out, 3), other = random_module("m", 2, in, out, 4, 0.25);
    const std::array<Factors, 2> parts = {lora::factors_of(one, 0.7), lora::factors_of(other, -2)};
    const MatrixXd expected = 0.7 * change_of(one) - 2 * change_of(other);
    const Factors sum = lora::sum_of(parts);
    EXPECT_EQ(sum.a.rows(), rank + 2);
    EXPECT_LT(relative(sum.b * sum.a, expected), 1e-14);
    EXPECT_EQ(lora::effective_rank(lora::svd_of(sum)), std::min({rank + 2, in, out}));
    EXPECT_NEAR(lora::inner_product(parts[0], parts[1]),
                (0.7 * change_of(one)).cwiseProduct(-2 * change_of(other)).sum(), 1e-11);
  }
}

TEST(Factors, WhatIsThereTwiceNeedsNoRankOfItsOwn) {
  const AdapterModule module = random_module("m", 5, 40, 23, 3);
  const std::array<Factors, 2> twice = {lora::factors_of(module), lora::factors_of(module, 0.5)};
  EXPECT_EQ(lora::effective_rank(lora::svd_of(lora::sum_of(twice))), 5);
  const std::array<Factors, 2> nothing = {lora::factors_of(module), lora::factors_of(module, -1)};
  const ThinSvd svd = lora::svd_of(lora::sum_of(nothing));
  EXPECT_LT(svd.squared_norm, 1e-25);
  EXPECT_EQ(lora::effective_rank(ThinSvd{svd.u, svd.v, Eigen::VectorXd::Zero(svd.s.size()), 0}), 1);
}

TEST(Factors, EnergyChoosesTheLeastRankThatKeepsIt) {
  const AdapterModule module = random_module("m", 6, 40, 23, 3);
  const ThinSvd svd = lora::svd_of(lora::factors_of(module));
  for (const double share : {0.2, 0.5, 0.9, 0.99}) {
    const std::int64_t rank = lora::rank_for_energy(svd, share);
    EXPECT_GE(1 - lora::squared_error(svd, rank) / svd.squared_norm, share);
    if (rank > 1) {
      EXPECT_LT(1 - lora::squared_error(svd, rank - 1) / svd.squared_norm, share);
    }
  }
  EXPECT_EQ(lora::rank_for_energy(svd, 1), 6);
}

TEST(Factors, NumbersThatAreNotFiniteAreRefused) {
  AdapterModule module = random_module("model.layers.3.mlp.up_proj", 2, 8, 8, 3);
  module.b[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(error_of([&] { lora::factors_of(module); }), HasSubstr("model.layers.3.mlp.up_proj"));
}

}  // namespace
