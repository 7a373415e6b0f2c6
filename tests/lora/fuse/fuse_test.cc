// Adapters joined, against PEFT's add_weighted_adapter and whole matrices.
#include "lora/fuse/fuse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/safetensors.h"
#include "lora/fuse/factors.h"
#include "tests/error_of.h"
#include "tests/lora/fuse/changes.h"
#include "tests/temporary_folder.h"

namespace {

using Eigen::MatrixXd;
using lora::Adapter;
using lora::AdapterModule;
using lora::FusedAdapter;
using lora::FuseMethod;
using lora::FuseSettings;
using lora_tests::change_of;
using lora_tests::relative;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";
const std::vector<double> kWeights = {0.7, -0.4, 1.3};

std::vector<Adapter> adapters() {
  return {lora::read_adapter(kGolden + "plain"), lora::read_adapter(kGolden + "rslora"),
          lora::read_adapter(kGolden + "pattern")};
}

const AdapterModule* find(const Adapter& adapter, const std::string& name) {
  const auto found = std::ranges::find(adapter.modules, name, &AdapterModule::name);
  return found == adapter.modules.end() ? nullptr : &*found;
}

MatrixXd weighted_sum(const std::vector<Adapter>& all, const AdapterModule& of) {
  MatrixXd sum = MatrixXd::Zero(of.out, of.in);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (const AdapterModule* module = find(all[i], of.name)) sum += kWeights[i] * change_of(*module);
  return sum;
}

MatrixXd matrix_of(const base::SafetensorsReader& file, const std::string& name) {
  const base::TensorView& tensor = file.at(name);
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(tensor.type, tensor.bytes, values);
  return Eigen::Map<const lora_tests::RowMajor>(values.data(), tensor.shape[0], tensor.shape[1]).cast<double>();
}

TEST(Fuse, EqualsPeftWhereThatWorksOnWholeChanges) {
  const base::SafetensorsReader golden(kGolden + "peft_fuse.safetensors");
  const double density{nlohmann::json::parse(golden.metadata().at("density")).get<double>()};
  const auto rank = nlohmann::json::parse(golden.metadata().at("rank")).get<std::int64_t>();
  ASSERT_EQ(nlohmann::json::parse(golden.metadata().at("weights")).get<std::vector<double>>(), kWeights);
  const std::vector<Adapter> all = adapters();
  const std::map<std::string, FuseSettings> methods = {
      {"cat", {FuseMethod::kConcatenate}},
      {"svd", {FuseMethod::kLinear, rank}},
      {"ties_svd", {FuseMethod::kElementwise, rank, {false, true, false, density, 0}}},
      {"ties_svd_frequency", {FuseMethod::kElementwise, rank, {false, true, true, density, 0}}},
      {"magnitude_prune_svd", {FuseMethod::kElementwise, rank, {false, false, false, density, 0}}}};
  for (const auto& [method, settings] : methods) {
    const FusedAdapter result = lora::fused(all, kWeights, settings);
    ASSERT_EQ(result.adapter.modules.size(), 14U);
    double most = 0;
    for (const AdapterModule& module : result.adapter.modules) {
      const std::string name = method + "/" + module.name;
      const MatrixXd theirs = matrix_of(golden, name + ".lora_B") * matrix_of(golden, name + ".lora_A");
      most = std::max(most, relative(change_of(module), theirs));
    }
    EXPECT_LT(most, 5e-6) << method;
  }
}

TEST(Fuse, ASumIsExactAtTheLeastRankThatHoldsIt) {
  const std::vector<Adapter> all = adapters();
  const FusedAdapter result = lora::fused(all, kWeights, {FuseMethod::kLinear, 0, {}, 2});
  int thinner = 0;
  for (std::size_t i = 0; i < result.modules.size(); ++i) {
    const AdapterModule& module = result.adapter.modules[i];
    std::int64_t ranks = 0;
    for (const Adapter& adapter : all)
      if (const AdapterModule* part = find(adapter, module.name)) ranks += part->rank;
    // The adapters were made from one seed, so that some share directions.
    EXPECT_LE(module.rank, ranks) << module.name;
    thinner += module.rank < ranks ? 1 : 0;
    EXPECT_LT(relative(change_of(module), weighted_sum(all, module)), 5e-7) << module.name;
    EXPECT_EQ(result.modules[i].name, module.name);
    EXPECT_EQ(result.modules[i].adapters, find(all[1], module.name) ? 3U : 2U);
    EXPECT_LT(result.modules[i].squared_error, 1e-13 * result.modules[i].squared_norm);
  }
  EXPECT_GT(thinner, 0);
  EXPECT_FALSE(result.adapter.rslora);
  EXPECT_EQ(result.adapter.alpha, static_cast<double>(result.adapter.rank));
}

TEST(Fuse, SideBySideNoMatrixAIsTouched) {
  const std::vector<Adapter> all = adapters();
  const FusedAdapter result = lora::fused(all, kWeights, {FuseMethod::kConcatenate});
  for (const AdapterModule& module : result.adapter.modules) {
    EXPECT_LT(relative(change_of(module), weighted_sum(all, module)), 1e-7);
    const AdapterModule& first = *find(all[0], module.name);
    EXPECT_TRUE(std::equal(first.a.begin(), first.a.end(), module.a.begin())) << module.name;
  }
}

TEST(Fuse, ACutSaysWhatItLeftOut) {
  const std::vector<Adapter> all = adapters();
  for (const FuseSettings& settings :
       {FuseSettings{FuseMethod::kLinear, 3}, FuseSettings{FuseMethod::kElementwise, 3, {false, true, false, 1, 0}}}) {
    const FusedAdapter result = lora::fused(all, kWeights, settings);
    const FusedAdapter more = lora::fused(all, kWeights, {settings.method, 64, settings.elementwise});
    for (std::size_t i = 0; i < result.modules.size(); ++i) {
      const MatrixXd whole = change_of(more.adapter.modules[i]);
      const double error{(change_of(result.adapter.modules[i]) - whole).norm()};
      EXPECT_NEAR(std::sqrt(result.modules[i].squared_error), error, 2e-5 * whole.norm());
      EXPECT_NEAR(std::sqrt(result.modules[i].squared_norm), whole.norm(), 2e-5 * whole.norm());
      EXPECT_LE(result.adapter.modules[i].rank, 3);
    }
  }
}

TEST(Fuse, TheResultReadsAsItWasWritten) {
  const TemporaryFolder temporary;
  const FusedAdapter result = lora::fused(adapters(), kWeights, {FuseMethod::kLinear});
  lora::write_adapter(result.adapter, temporary.path() / "fused");
  const Adapter again = lora::read_adapter(temporary.path() / "fused");
  ASSERT_EQ(again.modules.size(), result.adapter.modules.size());
  for (std::size_t i = 0; i < again.modules.size(); ++i) {
    EXPECT_EQ(again.modules[i].name, result.adapter.modules[i].name);
    EXPECT_DOUBLE_EQ(again.modules[i].scale, 1);
    EXPECT_EQ(again.modules[i].b, result.adapter.modules[i].b);
  }
}

TEST(Fuse, ScalingAndResizing) {
  const Adapter adapter = lora::read_adapter(kGolden + "pattern");
  const Adapter half = lora::scaled(adapter, -0.5);
  for (std::size_t i = 0; i < adapter.modules.size(); ++i)
    EXPECT_LT(relative(change_of(half.modules[i]), -0.5 * change_of(adapter.modules[i])), 1e-7);
  const FusedAdapter same = lora::resized(adapter, 64, 0, 2);
  for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
    EXPECT_EQ(same.adapter.modules[i].rank, adapter.modules[i].rank);
    EXPECT_LT(relative(change_of(same.adapter.modules[i]), change_of(adapter.modules[i])), 3e-7);
  }
  const FusedAdapter small = lora::resized(adapter, 0, 0.8, 2);
  std::int64_t before = 0, after = 0;
  for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
    const MatrixXd whole = change_of(adapter.modules[i]), cut = change_of(small.adapter.modules[i]);
    EXPECT_LE((cut - whole).squaredNorm(), 0.2 * whole.squaredNorm());
    before += adapter.modules[i].rank, after += small.adapter.modules[i].rank;
  }
  EXPECT_LT(after, before);
}

TEST(Fuse, WhatHasNoSumIsRefused) {
  std::vector<Adapter> all = adapters();
  const std::vector<std::string> names = {"a", "b", "c"};
  lora::check_only_matrices(all, names);
  std::vector<Adapter> other = adapters();
  other[1].modules[0].in += 1;
  EXPECT_THAT(error_of([&] { lora::fused(other, kWeights, {}); }), HasSubstr("different shapes"));
  other = adapters();
  other[2].dora = true;
  EXPECT_THAT(error_of([&] { lora::check_only_matrices(other, names); }), HasSubstr("DoRA"));
  other = adapters();
  other[1].modules[0].name = "model.language_model." + other[1].modules[0].name.substr(6);
  EXPECT_THAT(error_of([&] { lora::check_only_matrices(other, names); }), HasSubstr("--base MODEL"));
  other = adapters();
  other[0].modules[0].name = "lm_head";
  other[0].tied = true;
  EXPECT_THAT(error_of([&] { lora::check_only_matrices(other, names); }), HasSubstr("ensure_weight_tying"));
}

}  // namespace
