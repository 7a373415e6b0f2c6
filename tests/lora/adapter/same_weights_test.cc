#include "lora/adapter/same_weights.h"

#include <gtest/gtest.h>

#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/write_model.h"
#include "tests/temporary_folder.h"

namespace {

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";

// DoRA, a whole module and rows of tokens beside A and B.
lora::Adapter with_everything() {
  lora::Adapter adapter = lora::read_adapter(kGolden + "pattern");
  adapter.dora = true;
  for (lora::AdapterModule& module : adapter.modules)
    module.magnitude.assign(static_cast<std::size_t>(module.out), 0.7f);
  adapter.saved.push_back({"model.norm.weight", {64}, std::vector<float>(64, 0.25f)});
  adapter.tokens.push_back({"model.embed_tokens", {3, 9}, 64, std::vector<float>(128, 0.5f)});
  return adapter;
}

TEST(SameWeights, MergedModelsOfEveryTypeAreWithinTheirBound) {
  const lora::ModelFiles base(kGolden + "base");
  const lora::Adapter adapter = with_everything();
  const lora::MergedModel model(base, &adapter);
  const TemporaryFolder folder;
  for (const std::string& name : lora::type_names(true)) {
    const auto file = folder.path() / (name + ".gguf");
    lora::write_gguf(model, file, {lora::type_from_name(name), 1, {}});
    const lora::Difference most = lora::compare_weights(model, lora::ModelFiles(file.string()), 2);
    EXPECT_TRUE(most.is_within()) << name << " " << most.name << " " << most.share;
    // The base alone is seen: nothing of the adapter is missed.
    EXPECT_FALSE(
        lora::compare_weights(lora::MergedModel(base, nullptr), lora::ModelFiles(file.string()), 2).is_within())
        << name;
  }
  lora::write_hf_folder(model, folder.path() / "hf", {base::DType::kBF16, 1, {}});
  EXPECT_TRUE(lora::compare_weights(model, lora::ModelFiles((folder.path() / "hf").string()), 1).is_within());
}

TEST(SameWeights, EachPartOfAnAdapterIsSeen) {
  const lora::ModelFiles base(kGolden + "base");
  const lora::Adapter whole = with_everything();
  const TemporaryFolder folder;
  lora::write_gguf(lora::MergedModel(base, &whole), folder.path() / "m.gguf", {base::DType::kF16, 1, {}});
  const lora::ModelFiles written((folder.path() / "m.gguf").string());
  lora::Adapter other = whole;
  other.tokens[0].values[0] = 9;
  EXPECT_EQ(lora::compare_weights(lora::MergedModel(base, &other), written, 1).name, "model.embed_tokens.weight");
  other = whole;
  other.saved[0].values[0] = 9;
  EXPECT_EQ(lora::compare_weights(lora::MergedModel(base, &other), written, 1).name, "model.norm.weight");
  other = whole;
  other.modules[2].magnitude[1] *= 2;
  EXPECT_EQ(lora::compare_weights(lora::MergedModel(base, &other), written, 1).name, other.modules[2].name + ".weight");
}

// Blocks of four bits lose 8 % of a weight: a change of 2 % hides in that, and shows against what is rounded.
TEST(SameWeights, ASmallChangeIsSeenThroughBlocksOfFewBits) {
  const lora::ModelFiles base(kGolden + "base");
  const lora::Adapter adapter = with_everything();
  const TemporaryFolder folder;
  for (const char* type : {"q4_0", "q5_1", "q8_0", "bfloat16", "float16", "float32"}) {
    const auto file = folder.path() / (std::string(type) + ".gguf");
    lora::write_gguf(lora::MergedModel(base, &adapter), file, {lora::type_from_name(type), 1, {}});
    const lora::ModelFiles written(file.string());
    EXPECT_EQ(lora::compare_weights(lora::MergedModel(base, &adapter), written, 1).rounded, 0) << type;
    lora::Adapter other = adapter;
    for (float& length : other.modules[1].magnitude) length *= 1.02f;
    const lora::Difference most = lora::compare_weights(lora::MergedModel(base, &other), written, 1);
    EXPECT_FALSE(most.is_within()) << type;
    EXPECT_EQ(most.name, other.modules[1].name + ".weight") << type;
  }
}

TEST(SameWeights, AdaptersAreComparedByWhatTheyAdd) {
  const lora::Adapter adapter = lora::read_adapter(kGolden + "pattern");
  lora::Adapter baked = lora::bake_scale(adapter);
  EXPECT_TRUE(lora::compare_adapters(adapter, baked).is_within());
  baked.modules[4].scale *= 1.01;
  const lora::Difference most = lora::compare_adapters(adapter, baked);
  EXPECT_FALSE(most.is_within());
  EXPECT_EQ(most.name, baked.modules[4].name);
}

}  // namespace
