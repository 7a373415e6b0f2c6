// New tokens: their numbers, what is refused, and the files with them.
#include "tokenizer/write/grow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/byte_tokenizer.h"
#include "tests/temporary_folder.h"
#include "tokenizer/read/readers.h"

namespace {

using testing::HasSubstr;
using tokenizer::NewToken;

class Grow : public testing::Test {
 protected:
  Grow() { folder_.write("tokenizer.json", byte_tokenizer_json({"<|endoftext|>"})); }
  std::vector<tokenizer::AddedToken> numbered(const std::vector<NewToken>& tokens) const {
    return tokenizer::numbered(*tokenizer::load(folder_.path()), tokens, "--new-tokens");
  }
  std::string error_of(const std::vector<NewToken>& tokens) const {
    try {
      numbered(tokens);
    } catch (const base::UsageError& error) {
      return error.what();
    }
    return "no error";
  }
  TemporaryFolder folder_;
};

TEST_F(Grow, NumbersFollowTheVocabulary) {
  const auto tokens = numbered({{"<tool>", false}, {"<|call|>", true}});
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].id, 257);
  EXPECT_EQ(tokens[1].id, 258);
  EXPECT_FALSE(tokens[0].special);
  EXPECT_TRUE(tokens[1].special);
}

TEST_F(Grow, RefusesWhatIsNoNewToken) {
  EXPECT_THAT(error_of({{"", false}}), HasSubstr("without text"));
  EXPECT_THAT(error_of({{"\xFF", false}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_of({{"<a>", false}, {"<a>", true}}), HasSubstr("stands there twice"));
  EXPECT_THAT(error_of({{"<|endoftext|>", true}}), HasSubstr("has this token already"));
}

TEST_F(Grow, LoadedWithOrWrittenIntoTheFilesTheyGiveTheSameIds) {
  const auto tokens = numbered({{"<tool>", false}, {"<|call|>", true}});
  const auto loaded = tokenizer::load(folder_.path(), tokens);
  tokenizer::write_new_tokens(folder_.path(), tokens);
  const auto written = tokenizer::load(folder_.path());
  for (const bool special : {false, true}) {
    const std::string text = "a<tool>b<|call|>c";
    EXPECT_EQ(loaded->encode(text, special), written->encode(text, special));
    EXPECT_EQ(loaded->encode(text, special).size(), special ? 5u : 12u);
  }
  EXPECT_EQ(loaded->decode({257, 258, 'c'}, true), "<tool>c");
  EXPECT_EQ(written->decode({257, 258, 'c'}, true), "<tool>c");
  const auto listed = tokenizer::listed_tokens(folder_.path());
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[2].content, "<|call|>");
  EXPECT_TRUE(listed[2].special);
}

TEST_F(Grow, TheFirstTokenOfAnEmptyList) {
  folder_.write("tokenizer.json", byte_tokenizer_json({}));
  tokenizer::write_new_tokens(folder_.path(), numbered({{"<tool>", false}}));
  EXPECT_EQ(tokenizer::load(folder_.path())->encode("<tool>"), std::vector<std::int32_t>{256});
}

TEST_F(Grow, AGgufHasATokenForEachRow) {
  using base::GgufValue;
  std::vector<std::pair<std::string, GgufValue>> metadata = {{"tokenizer.ggml.tokens", GgufValue::texts({"a", "b"})},
                                                             {"llama.vocab_size", GgufValue::u32(2)}};
  tokenizer::AddedToken token;
  token.id = 3, token.content = "<|call|>", token.special = true;
  tokenizer::add_new_tokens(metadata, std::vector{token}, 5);
  EXPECT_EQ(std::get<base::Texts>(metadata[0].second.value),
            base::Texts(std::vector<std::string>{"a", "b", "[PAD2]", "<|call|>", "[PAD4]"}));
  EXPECT_EQ(std::get<std::int64_t>(metadata[1].second.value), 5);
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(metadata[2].second.value), (std::vector<std::int64_t>{1, 1, 5, 3, 5}));
}

}  // namespace
