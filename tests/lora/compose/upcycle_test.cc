#include "lora/compose/upcycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora::ModelFiles;
using lora::UpcycleSettings;
using lora_tests::whole;
using testing::HasSubstr;

const std::string kFamilies = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/";

void write(const ModelFiles& base, const UpcycleSettings& settings, const fs::path& folder, int threads = 2) {
  const base::DType type = lora::natural_type(base);
  const lora::MadeModel model = lora::upcycled(base, settings, type, true);
  lora_tests::write_made(model, base, type, folder, threads);
}

double deviation(const std::vector<float>& values, const std::vector<float>& from) {
  double squares = 0;
  for (std::size_t i = 0; i < values.size(); ++i) squares += std::pow(values[i] - (from.empty() ? 0 : from[i]), 2);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

// Of each kind of LLaMA that Mixtral has a place for.
TEST(Upcycle, ExpertsAreTheBasesMlpAndTheRestStays) {
  for (const char* name : {"tied", "untied", "llama3_rope", "linear_rope", "mistral", "yarn_rope", "longrope"}) {
    SCOPED_TRACE(name);
    const ModelFiles base(kFamilies + name);
    const TemporaryFolder folder;
    write(base, {3, 2, 0, false, 1}, folder.path());
    const ModelFiles made(folder.path().string());
    EXPECT_EQ(made.config().model_type, "mixtral");
    EXPECT_EQ(made.config().experts, 3);
    EXPECT_EQ(made.config().sliding_window, base.config().sliding_window);
    EXPECT_EQ(made.config().rope, base.config().rope);
    for (const std::string& tensor : base.names()) {
      if (tensor.find(".mlp.") != std::string::npos) continue;
      EXPECT_EQ(whole(made, tensor), whole(base, tensor)) << tensor;
    }
    const std::string experts = "model.layers.1.block_sparse_moe.experts.", mlp = "model.layers.1.mlp.";
    for (const char* expert : {"0.", "2."}) {
      EXPECT_EQ(whole(made, experts + expert + "w1.weight"), whole(base, mlp + "gate_proj.weight"));
      EXPECT_EQ(whole(made, experts + expert + "w3.weight"), whole(base, mlp + "up_proj.weight"));
      EXPECT_EQ(whole(made, experts + expert + "w2.weight"), whole(base, mlp + "down_proj.weight"));
    }
    EXPECT_EQ(deviation(whole(made, "model.layers.1.block_sparse_moe.gate.weight"), {}), 0);
  }
}

TEST(Upcycle, NoiseAndRoutersAreDrawnBySeedAndPlace) {
  const ModelFiles base(kFamilies + "untied");
  const TemporaryFolder folder, again, other;
  write(base, {2, 1, 0.1, true, 1}, folder.path());
  write(base, {2, 1, 0.1, true, 1}, again.path(), 1);
  write(base, {2, 1, 0.1, true, 2}, other.path());
  const ModelFiles one(folder.path().string()), same(again.path().string()), two(other.path().string());
  for (const std::string& name : one.names()) EXPECT_EQ(whole(one, name), whole(same, name)) << name;
  const std::string experts = "model.layers.0.block_sparse_moe.experts.";
  const std::vector<float> dense = whole(base, "model.layers.0.mlp.up_proj.weight");
  const std::vector<float> first = whole(one, experts + "0.w3.weight"), second = whole(one, experts + "1.w3.weight");
  EXPECT_NEAR(deviation(first, dense) / deviation(dense, {}), 0.1, 0.01);
  EXPECT_NEAR(deviation(second, first) / deviation(dense, {}), 0.1 * std::sqrt(2.0), 0.014);
  EXPECT_NE(whole(two, experts + "0.w3.weight"), first);
  EXPECT_NEAR(deviation(whole(one, "model.layers.0.block_sparse_moe.gate.weight"), {}), 0.02, 0.005);
}

TEST(Upcycle, RefusesWhatMixtralHasNoPlaceFor) {
  const auto with = [](const char* name, const UpcycleSettings& settings) {
    const ModelFiles base(kFamilies + name);
    return error_of([&] { lora::upcycled(base, settings, base::DType::kF32, false); });
  };
  EXPECT_EQ(with("tied", {2, 2}), "no error");
  EXPECT_THAT(with("qwen3", {2, 1}), HasSubstr("only a LLaMA or Mistral"));
  EXPECT_THAT(with("bias", {2, 1}), HasSubstr("biases"));
  EXPECT_THAT(with("tied", {2, 3}), HasSubstr("3 of 2"));
  EXPECT_THAT(with("tied", {1'000'000, 1}), HasSubstr("impossible number of experts"));
}

}  // namespace
