#include "lora/fuse/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <Eigen/SVD>
#include <cmath>
#include <numbers>

#include "lora/fuse/by_group.h"
#include "tests/error_of.h"
#include "tests/lora/fuse/changes.h"

namespace {

using Eigen::MatrixXd;
using lora::Adapter;
using lora::AdapterModule;
using lora::ModuleComparison;
using lora_tests::change_of;
using lora_tests::random_module;
using lora_tests::RowMajor;
using testing::Each;
using testing::HasSubstr;
using testing::Lt;

const std::string kName = "model.layers.3.mlp.up_proj";

Adapter adapter_of(const AdapterModule& module) {
  Adapter adapter;
  adapter.modules = {module};
  return adapter;
}

ModuleComparison compared(const AdapterModule& a, const AdapterModule& b) {
  return lora::compared(adapter_of(a), adapter_of(b), 1).at(0);
}

// A change of diag(values) in the planes of the first axes, turned by `degrees` in the plane of axes 0 and 5 of the
// columns.
AdapterModule turned(double degrees, std::int64_t rank) {
  MatrixXd b = MatrixXd::Zero(12, rank), a = MatrixXd::Zero(rank, 9);
  for (std::int64_t i = 0; i < rank; ++i) b(i, i) = 2.0 + static_cast<double>(i), a(i, i) = 1;
  const double angle{degrees * std::numbers::pi / 180};
  b(5, 0) = b(0, 0) * std::sin(angle);
  b(0, 0) *= std::cos(angle);
  AdapterModule module = random_module(kName, rank, 9, 12, 1, 1);
  Eigen::Map<RowMajor>(module.a.data(), rank, 9) = a.cast<float>();
  Eigen::Map<RowMajor>(module.b.data(), 12, rank) = b.cast<float>();
  return module;
}

TEST(Compare, NumbersAreThoseOfTheWholeMatrices) {
  const AdapterModule a = random_module(kName, 4, 40, 23, 1), b = random_module(kName, 6, 40, 23, 2, 0.3);
  const ModuleComparison result = compared(a, b);
  const MatrixXd whole_a = change_of(a), whole_b = change_of(b);
  EXPECT_NEAR(result.squared_norm_a, whole_a.squaredNorm(), 1e-9);
  EXPECT_NEAR(result.squared_norm_b, whole_b.squaredNorm(), 1e-9);
  EXPECT_NEAR(result.inner_product, whole_a.cwiseProduct(whole_b).sum(), 1e-9);
  EXPECT_NEAR(result.squared_difference, (whole_a - whole_b).squaredNorm(), 1e-9);
  EXPECT_EQ(result.rank_a, 4);
  EXPECT_EQ(result.rank_b, 6);
  const lora::ModuleNorm norm = lora::norms_of(adapter_of(a), 1).at(0);
  EXPECT_NEAR(norm.frobenius, whole_a.norm(), 1e-9);
  EXPECT_NEAR(norm.spectral, Eigen::JacobiSVD<MatrixXd>(whole_a).singularValues()[0], 1e-9);
}

TEST(Compare, AnglesAreThoseThatWereMade) {
  for (const double degrees : {0.0, 1e-5, 0.5, 30.0, 60.0, 89.9, 90.0}) {
    const ModuleComparison result = compared(turned(0, 3), turned(degrees, 3));
    ASSERT_EQ(result.column_angles.size(), 3U);
    EXPECT_NEAR(result.column_angles[0], 0, 1e-5);
    EXPECT_NEAR(result.column_angles[1], 0, 1e-5);
    EXPECT_NEAR(result.column_angles[2], degrees, 1e-5 + 1e-6 * degrees);
    EXPECT_THAT(result.row_angles, Each(Lt(1e-5)));
    const double cosine{std::cos(degrees * std::numbers::pi / 180)};
    EXPECT_NEAR(lora::overlap_of(result.column_angles), (2 + cosine * cosine) / 3, 1e-6);
  }
  // A smaller space in a larger one, either way round.
  EXPECT_THAT(compared(turned(0, 5), turned(0, 2)).column_angles, Each(Lt(1e-5)));
  EXPECT_EQ(compared(turned(0, 2), turned(0, 5)).column_angles.size(), 2U);
}

TEST(Compare, TheSameAdapterIsTheSame) {
  const AdapterModule a = random_module(kName, 4, 40, 23, 1);
  const ModuleComparison result = compared(a, a);
  EXPECT_LT(std::sqrt(result.squared_difference / result.squared_norm_a), 1e-14);
  EXPECT_THAT(result.column_angles, Each(Lt(1e-5)));
  EXPECT_THAT(result.row_angles, Each(Lt(1e-5)));
}

TEST(Compare, WhatOneAloneHasIsItsOwn) {
  AdapterModule only = random_module("model.layers.3.mlp.down_proj", 2, 23, 40, 5);
  Adapter a = adapter_of(random_module(kName, 4, 40, 23, 1)), b = a;
  b.modules.push_back(only);
  const std::vector<ModuleComparison> results = lora::compared(a, b, 2);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[1].rank_a, 0);
  EXPECT_EQ(results[1].rank_b, 2);
  EXPECT_EQ(results[1].squared_difference, results[1].squared_norm_b);
  EXPECT_TRUE(std::isnan(lora::overlap_of(results[1].column_angles)));
  EXPECT_EQ(lora::compared(b, a, 2)[1].rank_a, 2);
  // A change of nothing has no space.
  AdapterModule zero = a.modules[0];
  std::ranges::fill(zero.b, 0.0F);
  const ModuleComparison none = compared(a.modules[0], zero);
  EXPECT_EQ(none.rank_b, 0);
  EXPECT_TRUE(none.column_angles.empty());
  zero.in = 39, zero.a.resize(4 * 39);
  EXPECT_THAT(error_of([&] { compared(a.modules[0], zero); }), HasSubstr("different shapes"));
}

TEST(ByGroup, LayersKindsAndModules) {
  EXPECT_EQ(lora::group_of(kName, "layer"), "layer 3");
  EXPECT_EQ(lora::group_of(kName, "kind"), "up_proj");
  EXPECT_EQ(lora::group_of(kName, "module"), kName);
  EXPECT_EQ(lora::group_of("lm_head", "layer"), "lm_head");
  EXPECT_EQ(lora::group_of("model.embed_tokens", "layer"), "embed_tokens");
}

}  // namespace
