// A base that grows by the tokens that an adapter was trained with.
#include "lora/adapter/grown.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/byte_tokenizer.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"
#include "tokenizer/spec/tokenizer.h"
#include "tokenizer/write/grow.h"

namespace {

namespace fs = std::filesystem;
using lora::Adapter;
using lora::ModelFiles;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/";

class GrownBase : public testing::Test {
 protected:
  // A base whose tokenizer has `tokens` tokens, and beside it the adapter's folder with two more.
  ModelFiles base(const std::string& golden, int tokens) {
    lora_tests::write_changed(ModelFiles(kGolden + golden), folder_.path() / "base",
                              [](const std::string&, std::vector<float>&) {});
    std::vector<std::string> specials;
    for (int i = 256; i < tokens; ++i) specials.push_back("<" + std::to_string(i) + ">");
    for (const char* name : {"base", "adapter"}) {
      fs::create_directories(folder_.path() / name);
      base::write_file(folder_.path() / name / "tokenizer.json", byte_tokenizer_json(specials));
    }
    const auto tokenizer = tokenizer::load(folder_.path() / "base");
    const std::vector<tokenizer::NewToken> wanted = {{"<tool>", false}, {"<|call|>", true}};
    tokenizer::write_new_tokens(folder_.path() / "adapter", tokenizer::numbered(*tokenizer, wanted, "--new-tokens"));
    return ModelFiles((folder_.path() / "base").string());
  }
  fs::path adapter_folder() const { return folder_.path() / "adapter"; }

  static lora::TokenRows rows(const ModelFiles& base, const std::string& module, std::vector<std::int64_t> ids) {
    const std::int64_t width{base.config().hidden_size};
    std::vector<float> values(ids.size() * static_cast<std::size_t>(width), 0.5F);
    return {module, std::move(ids), width, std::move(values)};
  }

  TemporaryFolder folder_;
};

TEST_F(GrownBase, HasTheTokensAndRowsOfTheAdapter) {
  ModelFiles files = base("tied", 258);
  const std::int64_t vocabulary{files.config().vocab_size};
  Adapter adapter;
  std::vector<std::int64_t> ids;
  for (std::int64_t id = std::min<std::int64_t>(vocabulary, 258); id < 260; ++id) ids.push_back(id);
  adapter.tokens = {rows(files, "model.embed_tokens", ids)};
  lora::grow_for(files, adapter, adapter_folder());
  EXPECT_EQ(files.config().vocab_size, std::max<std::int64_t>(vocabulary, 260));
  ASSERT_EQ(files.new_tokens().size(), 2U);
  EXPECT_EQ(files.new_tokens()[0].id, 258);
  EXPECT_EQ(files.new_tokens()[0].content, "<tool>");
  EXPECT_TRUE(files.new_tokens()[1].special);
  EXPECT_EQ(lora::new_tokens_text(files), "2 new tokens: <tool>, <|call|>");
}

// Tokens without a row would be read as what the base's padding happens to hold.
TEST_F(GrownBase, IsAsItWasForAnAdapterWithoutRows) {
  ModelFiles files = base("tied", 258);
  const std::int64_t vocabulary{files.config().vocab_size};
  lora::grow_for(files, Adapter{}, adapter_folder());
  EXPECT_EQ(files.config().vocab_size, vocabulary);
  EXPECT_TRUE(files.new_tokens().empty());
  EXPECT_EQ(lora::new_tokens_text(files), "");
}

TEST_F(GrownBase, GrowsWithoutATokenizerBesideTheAdapter) {
  ModelFiles files = base("tied", 258);
  const std::int64_t vocabulary{files.config().vocab_size};
  Adapter adapter;
  adapter.tokens = {rows(files, "model.embed_tokens", {vocabulary, vocabulary + 1})};
  lora::grow_for(files, adapter, folder_.path() / "none");
  EXPECT_EQ(files.config().vocab_size, vocabulary + 2);
  EXPECT_TRUE(files.new_tokens().empty());
}

TEST_F(GrownBase, NeedsARowForEachTokenInEachMatrix) {
  ModelFiles files = base("untied", 258);
  const std::int64_t vocabulary{files.config().vocab_size};
  Adapter adapter;
  adapter.tokens = {rows(files, "model.embed_tokens", {vocabulary, vocabulary + 1})};
  EXPECT_THAT(error_of([&] { lora::grow_for(files, adapter, adapter_folder()); }),
              HasSubstr("no row " + std::to_string(vocabulary) + " of lm_head"));
  adapter.tokens = {rows(files, "lm_head", {vocabulary, vocabulary + 1}),
                    rows(files, "model.embed_tokens", {vocabulary + 1})};
  EXPECT_THAT(error_of([&] { lora::grow_for(files, adapter, adapter_folder()); }),
              HasSubstr("no row " + std::to_string(vocabulary) + " of model.embed_tokens"));
  adapter.tokens[1] = rows(files, "model.embed_tokens", {vocabulary, vocabulary + 1});
  lora::grow_for(files, adapter, adapter_folder());
  EXPECT_EQ(files.config().vocab_size, vocabulary + 2);
  EXPECT_EQ(files.new_rows("lm_head.weight"), 2);
}

// Whole matrices, larger than the base's: modules_to_save after a resize.
TEST_F(GrownBase, TakesWholeMatrices) {
  ModelFiles files = base("untied", 258);
  const std::int64_t vocabulary{files.config().vocab_size}, width{files.config().hidden_size};
  Adapter adapter;
  for (const char* name : {"lm_head.weight", "model.embed_tokens.weight"})
    adapter.saved.push_back(
        {name, {vocabulary + 2, width}, std::vector<float>(static_cast<std::size_t>((vocabulary + 2) * width), 0.5F)});
  lora::grow_for(files, adapter, adapter_folder());
  EXPECT_EQ(files.config().vocab_size, vocabulary + 2);
}

}  // namespace
