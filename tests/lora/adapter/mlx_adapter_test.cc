#include "lora/adapter/mlx_adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/safetensors.h"
#include "lora/adapter/merge.h"
#include "tests/error_of.h"
#include "tests/lora/whole.h"
#include "tests/temporary_folder.h"

namespace {

using lora::Adapter;
using nlohmann::json;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";

std::vector<float> values_of(const base::TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(tensor.type, tensor.bytes, values);
  return values;
}

// What mlx-lm's LoRALinear adds to W x of one x, from the file alone: scale * (x a) b; of DoRALinear all of y:
// m / |W + scale b' a'| * (W x + scale * (x a) b).
std::vector<double> mlx_output(const std::filesystem::path& folder, const std::string& module,
                               const lora::ModelFiles& base, const std::vector<double>& x) {
  const json config = json::parse(base::read_file(folder / "adapter_config.json"));
  const double scale{config["lora_parameters"]["scale"]};
  const base::SafetensorsReader file(folder / "adapters.safetensors");
  const base::TensorView &a = file.at(module + ".lora_a"), &b = file.at(module + ".lora_b");
  const auto in = static_cast<std::size_t>(a.shape[0]), rank = static_cast<std::size_t>(a.shape[1]),
             out = static_cast<std::size_t>(b.shape[1]);
  EXPECT_EQ(rank, static_cast<std::size_t>(b.shape[0]));
  const std::vector<float> left = values_of(a), right = values_of(b),
                           weight = lora_tests::whole(base, module + ".weight");
  std::vector<double> y(out);
  for (std::size_t row = 0; row < out; ++row) {
    double length = 0;
    for (std::size_t column = 0; column < in; ++column) {
      double delta = 0;
      for (std::size_t i = 0; i < rank; ++i) delta += double{left[column * rank + i]} * right[i * out + row];
      const double whole{weight[row * in + column] + scale * delta};
      y[row] += whole * x[column];
      length += whole * whole;
    }
    if (file.find(module + ".m")) y[row] *= values_of(file.at(module + ".m"))[row] / std::sqrt(length);
  }
  return y;
}

void expect_same_outputs(const Adapter& adapter, const std::filesystem::path& folder) {
  const lora::ModelFiles base(kGolden + "base");
  const lora::MergedModel merged(base, &adapter);
  for (const lora::AdapterModule& module : adapter.modules) {
    std::vector<double> x(static_cast<std::size_t>(module.in));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i) + 1);
    std::vector<float> weight(static_cast<std::size_t>(module.in * module.out));
    merged.read_rows(module.name + ".weight", 0, module.out, weight);
    const std::vector<double> y = mlx_output(folder, module.name, base, x);
    ASSERT_EQ(y.size(), static_cast<std::size_t>(module.out));
    for (std::size_t row = 0; row < y.size(); ++row) {
      double expected = 0;
      for (std::size_t i = 0; i < x.size(); ++i) expected += double{weight[row * x.size() + i]} * x[i];
      ASSERT_NEAR(y[row], expected, 1e-5) << module.name;
    }
  }
}

TEST(MlxAdapter, ItsLayersComputeWhatTheMergedModelDoes) {
  for (const char* name : {"plain", "rslora", "pattern"}) {
    const TemporaryFolder folder;
    const Adapter adapter = lora::read_adapter(kGolden + name);
    lora::write_mlx_adapter(adapter, folder.path());
    expect_same_outputs(adapter, folder.path());
    const json config = json::parse(base::read_file(folder.path() / "adapter_config.json"));
    EXPECT_EQ(config["fine_tune_type"], "lora");
    EXPECT_THAT(config["lora_parameters"]["keys"].dump(), HasSubstr("\"self_attn.q_proj\""));
    EXPECT_EQ(config["model"], "base");
  }
}

Adapter with_magnitudes() {
  Adapter adapter = lora::read_adapter(kGolden + "pattern");
  adapter.dora = true;
  for (lora::AdapterModule& module : adapter.modules)
    for (std::int64_t row = 0; row < module.out; ++row)
      module.magnitude.push_back(0.5f + static_cast<float>(row % 7) / 8);
  return adapter;
}

TEST(MlxAdapter, DoraToo) {
  const TemporaryFolder folder;
  lora::write_mlx_adapter(with_magnitudes(), folder.path());
  expect_same_outputs(with_magnitudes(), folder.path());
}

TEST(MlxAdapter, IsReadBack) {
  for (const Adapter& adapter : {lora::read_adapter(kGolden + "rslora"), with_magnitudes()}) {
    const TemporaryFolder folder;
    lora::write_mlx_adapter(adapter, folder.path());
    EXPECT_TRUE(lora::is_mlx_adapter(folder.path()));
    const Adapter again = lora::read_adapter(folder.path());
    EXPECT_EQ(again.dora, adapter.dora);
    EXPECT_EQ(again.base_model, adapter.base_model);
    EXPECT_EQ(again.targets, adapter.targets);
    expect_same_outputs(again, folder.path());
  }
}

TEST(MlxAdapter, WhatItCannotCarryIsRefused) {
  const TemporaryFolder folder;
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  adapter.saved.push_back({"model.norm.weight", {64}, std::vector<float>(64)});
  EXPECT_THAT(error_of([&] { lora::write_mlx_adapter(adapter, folder.path()); }), HasSubstr("lora merge"));
  adapter.saved.clear();
  adapter.tokens.push_back({"model.embed_tokens", {1}, 64, std::vector<float>(64)});
  EXPECT_THAT(error_of([&] { lora::write_mlx_adapter(adapter, folder.path()); }), HasSubstr("rows of tokens"));
  adapter.tokens.clear();
  adapter.modules[0].name = "lm_head";
  EXPECT_THAT(error_of([&] { lora::write_mlx_adapter(adapter, folder.path()); }), HasSubstr("lm_head"));
}

TEST(MlxAdapter, WhatIsNotUnderstoodIsRefused) {
  const TemporaryFolder folder;
  lora::write_mlx_adapter(lora::read_adapter(kGolden + "plain"), folder.path());
  const std::filesystem::path file = folder.path() / "adapter_config.json";
  const json whole = json::parse(base::read_file(file));
  const auto error_with = [&](const char* path, const json& value) {
    json config = whole;
    config[json::json_pointer(path)] = value;
    base::write_file(file, config.dump());
    return error_of([&] { lora::read_adapter(folder.path()); });
  };
  EXPECT_THAT(error_with("/fine_tune_type", "full"), HasSubstr("mlx_lm.fuse"));
  EXPECT_THAT(error_with("/fine_tune_type", "dora"), HasSubstr("magnitudes"));
  EXPECT_THAT(error_with("/lora_parameters/rank", 5), HasSubstr("rank"));
  EXPECT_THAT(error_with("/lora_parameters/scale", nullptr), HasSubstr("scale"));
  EXPECT_THAT(error_with("/lora_parameters/rope", 1), HasSubstr("rope"));
  EXPECT_THAT(error_with("/lora_parameters/keys", json::array({"mlp.up_proj"})), HasSubstr("keys"));
  EXPECT_EQ(error_with("/batch_size", 4), "no error");  // of mlx-lm's training
}

}  // namespace
