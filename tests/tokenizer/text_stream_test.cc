#include "tokenizer/models/text_stream.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/unicode.h"

namespace {

namespace fs = std::filesystem;
using tokenizer::TextStream;

// Pieces of which the blank at the beginning, and the one behind a special token, is taken off: then decode looks at
// more than one token.
class Pieces : public tokenizer::Tokenizer {
 public:
  explicit Pieces(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  std::vector<std::int32_t> encode(std::string_view, bool) const override { return {}; }
  tokenizer::Encoding encode_with_offsets(std::string_view, tokenizer::DataRanges) const override { return {}; }
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special) const override {
    ++calls;
    longest = std::max(longest, ids.size());
    std::string text;
    bool begins = true;
    for (const std::int32_t id : ids) {
      const std::string& piece = texts_[static_cast<std::size_t>(id)];
      if (piece.starts_with("<s")) {
        if (!skip_special) text += piece;
        begins = true;
        continue;
      }
      text += begins && piece.starts_with(' ') ? piece.substr(1) : piece;
      begins = false;
    }
    return text;
  }
  std::int32_t size() const override { return static_cast<std::int32_t>(texts_.size()); }
  std::optional<std::int32_t> id_of(std::string_view) const override { return std::nullopt; }
  std::string token(std::int32_t id) const override { return texts_[static_cast<std::size_t>(id)]; }
  bool is_special(std::int32_t id) const override { return token(id).starts_with("<s"); }
  mutable std::size_t calls = 0, longest = 0;

 private:
  std::vector<std::string> texts_;
};

const std::vector<std::string> kTexts = {"<s>",  " Hi",      " ",        "there", "\xE2", "\x82",
                                         "\xAC", "\xF0\x9F", "\x98\x80", "é",     "\xFF", "!"};

// Every piece must be whole characters, and all of them what decode gives.
void expect_stream(const std::vector<std::int32_t>& ids, bool skip_special) {
  const Pieces pieces(kTexts);
  TextStream stream(pieces, skip_special);
  std::string text;
  for (const std::int32_t id : ids) text += stream.add(id);
  text += stream.finish();
  EXPECT_EQ(text, pieces.decode(ids, skip_special)) << testing::PrintToString(ids);
}

TEST(TextStream, GivesInAllWhatDecodeGives) {
  for (const bool skip : {false, true})
    for (const std::vector<std::int32_t>& ids :
         std::vector<std::vector<std::int32_t>>{{},
                                                {1, 1, 3},
                                                {0, 1, 0, 1},
                                                {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1},
                                                {2, 1},
                                                {2, 2, 1},
                                                {1, 0, 1},
                                                {4, 5, 6},
                                                {4, 0, 5, 6, 7, 8, 9},
                                                {4, 3},
                                                {10, 7, 10, 11},
                                                {5, 6, 6, 6, 6},
                                                {1, 4}})
      expect_stream(ids, skip);
  // All short texts.
  for (std::int32_t a = 0; a < 12; ++a)
    for (std::int32_t b = 0; b < 12; ++b)
      for (std::int32_t c = 0; c < 12; ++c) expect_stream({a, b, c}, true);
}

TEST(TextStream, NeverSplitsACharacter) {
  const Pieces pieces(kTexts);
  TextStream stream(pieces, true);
  EXPECT_EQ(stream.add(4), "");
  EXPECT_EQ(stream.add(5), "");
  EXPECT_EQ(stream.add(6), "€");
  EXPECT_EQ(stream.add(7), "");
  EXPECT_EQ(stream.add(8), "😀");
  EXPECT_EQ(stream.add(4), "");
  EXPECT_EQ(stream.finish(), "\xE2");
}

TEST(TextStream, TheWorkForATokenDoesNotGrow) {
  const Pieces pieces(kTexts);
  TextStream stream(pieces, true);
  for (int i = 0; i < 5000; ++i) stream.add(i < 2000 ? 0 : i % 12);
  EXPECT_EQ(pieces.calls, 10000u);
  EXPECT_LE(pieces.longest, 17u);
}

TEST(TextStream, WholeCharactersAreValid) {
  const std::string face = "😀";
  for (std::size_t bytes = 1; bytes < face.size(); ++bytes)
    EXPECT_EQ(tokenizer::whole_characters("a" + face.substr(0, bytes)), "a");
  EXPECT_EQ(tokenizer::whole_characters("a" + face), "a" + face);
  EXPECT_EQ(tokenizer::whole_characters("a\xFFz\xE2"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(tokenizer::whole_characters(""), "");
}

TEST(TextStream, FollowsARealTokenizer) {
  const fs::path model = HORNBOOK_SOURCE_DIR "/build/data/smollm2.gguf";
  ASSERT_TRUE(fs::exists(model)) << "run scripts/install.sh";
  const auto tokenizer = tokenizer::load(model);
  const std::string text = " Ein Text: 漢字 ist schön 🙂, naïve café.\n\n\tdef f(x):  return x\n";
  TextStream stream(*tokenizer, true);
  std::string got;
  for (const std::int32_t id : tokenizer->encode(text)) {
    const std::string piece = stream.add(id);
    EXPECT_EQ(base::find_invalid_utf8(piece), std::string_view::npos);
    got += piece;
  }
  EXPECT_EQ(got, text);
}

}  // namespace
