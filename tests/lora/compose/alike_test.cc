#include "lora/compose/alike.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora::ModelFiles;
using testing::HasSubstr;

const std::string kModels = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/";
const std::string kBase = HORNBOOK_SOURCE_DIR "/tests/golden/lora/base";

// A copy of the base with its JSON files changed.
std::string copy(const fs::path& to, const std::string& file, const std::function<void(nlohmann::json&)>& change) {
  lora_tests::write_changed(ModelFiles(kBase), to, [](const std::string&, std::vector<float>&) {});
  auto json = nlohmann::json::parse(base::read_file(to / file));
  change(json);
  base::write_file(to / file, json.dump());
  return to.string();
}

TEST(Alike, TheFirstDifferenceIsNamed) {
  const ModelFiles untied(kModels + "untied"), tied(kModels + "tied"), qwen(kModels + "qwen2"), bias(kModels + "bias"),
      yarn(kModels + "yarn_rope");
  EXPECT_EQ(error_of([&] { lora::check_alike(untied, untied); }), "no error");
  EXPECT_THAT(error_of([&] { lora::check_alike(untied, qwen); }), HasSubstr("model_type \"qwen2\""));
  EXPECT_THAT(error_of([&] { lora::check_alike(untied, bias); }), HasSubstr("attention_bias true"));
  EXPECT_THAT(error_of([&] { lora::check_alike(untied, yarn); }), HasSubstr("rope"));
  EXPECT_THAT(error_of([&] { lora::check_alike(ModelFiles(kBase), untied); }), HasSubstr("as " + kBase + " has it"));
}

TEST(Alike, LengthsAndEndTokensMayDiffer) {
  TemporaryFolder temporary;
  const ModelFiles base(kBase), other(copy(temporary.path() / "a", "config.json", [](nlohmann::json&config) {
    config["max_position_embeddings"] = 4096;
    config["eos_token_id"] = 1;
  }));
  EXPECT_EQ(error_of([&] { lora::check_alike(base, other); }), "no error");
  std::vector<std::string> notes;
  EXPECT_EQ(lora::difference_of_tokenizers(base, other, notes), "");
  EXPECT_THAT(notes, testing::ElementsAre(HasSubstr("ends its answers at")));
}

TEST(Alike, TokenizersAreComparedTokenByToken) {
  TemporaryFolder temporary;
  const ModelFiles base(kBase);
  std::vector<std::string> notes;
  EXPECT_EQ(lora::difference_of_tokenizers(base, base, notes), "");
  EXPECT_TRUE(notes.empty());
  const ModelFiles swapped(copy(temporary.path() / "a", "tokenizer.json", [](nlohmann::json& json) {
    auto& words = json["model"]["vocab"];
    const auto first = words.begin(), second = std::next(words.begin());
    std::swap(first.value(), second.value());
  }));
  EXPECT_THAT(lora::difference_of_tokenizers(base, swapped, notes), HasSubstr("token "));
  const ModelFiles bare(kModels + "untied");
  EXPECT_EQ(lora::difference_of_tokenizers(base, bare, notes), "");
  EXPECT_THAT(notes, testing::Contains(HasSubstr("has no tokenizer that can be read")));
}

}  // namespace
