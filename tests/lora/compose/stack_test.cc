#include "lora/compose/stack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora::ModelFiles;
using lora_tests::whole;
using testing::HasSubstr;

const std::string kFamilies = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/";

void write(const ModelFiles& base, const std::vector<lora::LayerRange>& ranges, const fs::path& folder) {
  const base::DType type = lora::natural_type(base);
  const lora::MadeModel model = lora::stacked(base, ranges, type, true);
  lora_tests::write_made(model, base, type, folder, 2);
}

// What stands behind "layers.N." and the like: the first number in the name taken out.
std::string without_layer(const std::string& name) {
  const std::size_t first = name.find_first_of("0123456789");
  const std::size_t end = name.find_first_not_of("0123456789", first);
  return first == std::string::npos ? name : name.substr(0, first) + name.substr(end);
}

TEST(Stack, RangesAreReadAndJudged) {
  EXPECT_EQ(lora::layer_range("2-3", 4).first, 2);
  EXPECT_EQ(lora::layer_range("2-3", 4).last, 3);
  EXPECT_EQ(lora::layer_range("3", 4).last, 3);
  for (const char* wrong : {"", "-", "a", "1-", "-1", "3-2", "0-4", "4", "1-2-3", "0-99999999999999999999", "1 - 2"})
    EXPECT_THAT(error_of([&] { lora::layer_range(wrong, 4); }), HasSubstr("not a range of layers")) << wrong;
}

// Every family: layers 0, 1, 0, 1 carry the numbers of the base's, and the folder reads as a model of four layers.
TEST(Stack, LayersOfEveryFamilyCarryTheNumbersOfTheirSource) {
  std::size_t families = 0;
  for (const auto& entry : fs::directory_iterator(kFamilies)) {
    if (!fs::exists(entry.path() / "config.json")) continue;
    SCOPED_TRACE(entry.path());
    const ModelFiles base(entry.path().string());
    const std::int64_t last{base.config().layers - 1};
    TemporaryFolder temporary;
    if (!base.config().wrapper.empty()) {  // a model of pictures around it
      EXPECT_THAT(error_of([&] { write(base, {{0, last}}, temporary.path() / "deep"); }), HasSubstr("stays as it is"));
      continue;
    }
    write(base, {{0, last}, {0, last}}, temporary.path() / "deep");
    const ModelFiles deep((temporary.path() / "deep").string());
    EXPECT_EQ(deep.config().layers, 2 * base.config().layers);
    ++families;
    // The tensors of the layers stand side by side behind the embedding, in the base's order, twice.
    const std::size_t added{deep.names().size() - base.names().size()};
    if (base.config().dense_layers.empty()) {
      EXPECT_EQ(added % static_cast<std::size_t>(base.config().layers), 0U);
    }
    for (std::size_t i = 0; i < added; ++i) {
      const std::string &first = deep.names().at(1 + i), &second = deep.names().at(1 + added + i);
      const std::string& source = base.names().at(1 + i);
      EXPECT_EQ(without_layer(second), without_layer(source));
      EXPECT_EQ(whole(deep, first), whole(base, source)) << first;
      EXPECT_EQ(whole(deep, second), whole(base, source)) << second;
    }
    for (std::size_t i = added + 1; i < base.names().size(); ++i)
      EXPECT_EQ(whole(deep, base.names()[i]), whole(base, base.names()[i])) << base.names()[i];
  }
  EXPECT_GE(families, 15U);
}

// Packed weights and keys of earlier days come out as a plain folder of today.
TEST(Stack, OfABaseThatStandsOtherwiseIsPlain) {
  for (const char* name : {"bitsandbytes/nf4_nested", "bitsandbytes/int8", "early_phi/msft"}) {
    const ModelFiles base(std::string(HORNBOOK_SOURCE_DIR "/tests/golden/lora/") + name);
    TemporaryFolder temporary;
    write(base, {{0, base.config().layers - 1}, {0, 0}}, temporary.path() / "deep");
    const ModelFiles deep((temporary.path() / "deep").string());
    EXPECT_TRUE(deep.notes().empty()) << name;
    EXPECT_EQ(deep.config().layers, base.config().layers + 1) << name;
    const std::string weight = lora::first_matrix(base);
    const std::vector<float> before = whole(base, weight), after = whole(deep, weight);
    for (std::size_t i = 0; i < before.size(); ++i)  // INT8 is rounded to the type beside it
      ASSERT_NEAR(after[i], before[i], 5e-4 * std::fabs(before[i])) << name;
    const auto config = nlohmann::json::parse(base::read_file(temporary.path() / "deep/config.json"));
    EXPECT_FALSE(config.contains("quantization_config")) << name;
    EXPECT_EQ(config["model_type"], base.config().model_type) << name;
  }
}

TEST(Stack, LayersWithAndWithoutExpertsStayWhatTheyAre) {
  const ModelFiles base(kFamilies + "qwen3_moe_step");  // every second layer has experts
  ASSERT_EQ(base.config().dense_layers, (std::vector<std::int64_t>{0}));
  TemporaryFolder temporary;
  write(base, {{1, 1}, {0, 1}, {1, 1}}, temporary.path() / "deep");
  const ModelFiles deep((temporary.path() / "deep").string());
  EXPECT_EQ(deep.config().dense_layers, (std::vector<std::int64_t>{1}));
  EXPECT_EQ(whole(deep, "model.layers.3.mlp.experts.2.up_proj.weight"),
            whole(base, "model.layers.1.mlp.experts.2.up_proj.weight"));
}

// The base's config.json is transformers 5's, which does not say what transformers 4 reads.
TEST(Stack, TheConfigIsForTransformers4Too) {
  const ModelFiles base(kFamilies + "llama3_rope");
  ASSERT_FALSE(nlohmann::json::parse(base::read_file(base.path() / "config.json")).contains("rope_scaling"));
  TemporaryFolder temporary;
  write(base, {{0, 0}}, temporary.path() / "deep");
  const auto config = nlohmann::json::parse(base::read_file(temporary.path() / "deep/config.json"));
  EXPECT_EQ(config["rope_theta"], base.config().rope.theta);
  EXPECT_EQ(config["rope_scaling"]["rope_type"], "llama3");
  EXPECT_EQ(config["torch_dtype"], config["dtype"]);
}

TEST(Stack, EveryLayerOnceIsTheModelItself) {
  const ModelFiles base(kFamilies + "untied");
  TemporaryFolder temporary;
  write(base, {{0, base.config().layers - 1}}, temporary.path() / "same");
  const ModelFiles same((temporary.path() / "same").string());
  EXPECT_EQ(same.config(), base.config());
  EXPECT_EQ(same.names(), base.names());
  for (const std::string& name : base.names()) EXPECT_EQ(whole(same, name), whole(base, name));
}

}  // namespace
