#include "base/unicode.h"

#include <gtest/gtest.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/random.h"

namespace {

using nlohmann::json;

const json& golden() {
  static const json kGolden = json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/base/unicode.json"));
  return kGolden;
}

// Code points on which `predicate` and the golden ranges differ.
std::vector<char32_t> differences(const char* name, bool (*predicate)(char32_t)) {
  std::vector<bool> expected(0x110000);
  for (const json& range : golden().at(name))
    for (std::uint32_t c = range[0]; c <= range[1]; ++c) expected[c] = true;
  std::vector<char32_t> different;
  for (char32_t c = 0; c < 0x110000; ++c)
    if (predicate(c) != expected[c]) different.push_back(c);
  return different;
}

std::string utf8(char32_t c) {
  std::string text;
  base::append_utf8(text, c);
  return text;
}

TEST(Unicode, PropertiesAreThoseOfPython) {
  const std::vector<char32_t> none;
  EXPECT_EQ(differences("alpha", base::is_alpha), none);
  EXPECT_EQ(differences("space", base::is_space), none);
  EXPECT_EQ(differences("re_space", base::is_space), none);
  EXPECT_EQ(differences("word", base::is_word_character), none);
  EXPECT_EQ(differences("decimal_digit", base::is_decimal_digit), none);
  EXPECT_EQ(differences("number", base::is_number), none);
  EXPECT_EQ(differences("nonspacing_mark", base::is_nonspacing_mark), none);
  EXPECT_EQ(differences("uppercase", base::is_uppercase), none);
  EXPECT_EQ(differences("punctuation", base::is_punctuation), none);
  EXPECT_FALSE(base::is_alpha(0x110000));
}

TEST(Unicode, TheParityTestCanFail) {
  // One detail flipped: '_' is a word character for `\w` only.
  EXPECT_EQ(differences("alpha", [](char32_t c) { return base::is_alpha(c) || c == '_'; }), std::vector<char32_t>{'_'});
  // ASCII's idea of a letter is not Unicode's.
  EXPECT_GT(differences("alpha", [](char32_t c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }).size(), 100'000u);
}

TEST(Unicode, LowerIsThatOfPython) {
  std::map<char32_t, std::string> expected;
  for (const json& pair : golden().at("lower")) expected[pair[0].get<std::uint32_t>()] = pair[1];
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    auto found = expected.find(c);
    std::string text = utf8(c);
    ASSERT_EQ(base::to_lower(text), found == expected.end() ? text : found->second) << std::hex << std::uint32_t{c};
  }
  for (const json& pair : golden().at("lower_texts"))
    ASSERT_EQ(base::to_lower(pair[0].get<std::string>()), pair[1]) << pair[0];
}

TEST(Unicode, NormalFormsAreThoseOfPython) {
  for (const json& sample : golden().at("normal_forms")) {
    ASSERT_EQ(base::to_nfc(sample[0].get<std::string>()), sample[1]) << sample[0];
    ASSERT_EQ(base::to_nfd(sample[0].get<std::string>()), sample[2]) << sample[0];
  }
  EXPECT_EQ(base::to_nfd("plain ASCII"), "plain ASCII");
  EXPECT_EQ(base::to_nfd(""), "");
}

// Long runs are put in order by ourselves; what comes out must be what ICU makes of the text as it was.
TEST(Unicode, LongRunsOfMarksHaveTheSameNormalForm) {
  static constexpr char32_t kMarks[] = {0x301, 0x323, 0x344, 0x345,  0x5B0,  0x654,
                                        0xF71, 0xF73, 0xF81, 0x1DC4, 0x3099, 0x1D165};
  base::Random random(9);
  for (int round = 0; round < 200; ++round) {
    std::string text = round % 2 ? "\xC3\xA9" : "";
    for (std::uint64_t i = 0, n = random.below(400); i < n; ++i) text += utf8(kMarks[random.below(std::size(kMarks))]);
    text += round % 3 ? "o\xCC\x88" : "";
    UErrorCode status = U_ZERO_ERROR;
    std::string nfc, nfd;
    icu::StringByteSink<std::string> nfc_sink(&nfc), nfd_sink(&nfd);
    const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
    icu::Normalizer2::getNFCInstance(status)->normalizeUTF8(0, piece, nfc_sink, nullptr, status);
    icu::Normalizer2::getNFDInstance(status)->normalizeUTF8(0, piece, nfd_sink, nullptr, status);
    ASSERT_TRUE(U_SUCCESS(status));
    ASSERT_EQ(base::to_nfc(text), nfc);
    ASSERT_EQ(base::to_nfd(text), nfd);
  }
}

TEST(Unicode, EveryCodePointSurvivesEncodingAndDecoding) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    std::string text = utf8(c);
    std::size_t position = 0;
    char32_t back = base::next_code_point(text, position);
    bool surrogate = c >= 0xD800 && c < 0xE000;
    ASSERT_EQ(back, surrogate ? 0xFFFD : c);
    ASSERT_EQ(position, text.size());
    ASSERT_EQ(base::find_invalid_utf8(text), std::string::npos);
  }
}

TEST(Unicode, InvalidBytesAreFoundWhereTheyAre) {
  using namespace std::string_literals;
  const auto npos = std::string::npos;
  EXPECT_EQ(base::find_invalid_utf8(""), npos);
  EXPECT_EQ(base::find_invalid_utf8("a\0b"s), npos);
  EXPECT_EQ(base::find_invalid_utf8("\xEF\xBF\xBD is U+FFFD itself"), npos);
  EXPECT_EQ(base::find_invalid_utf8("ab\xFF"), 2u);
  EXPECT_EQ(base::find_invalid_utf8("ab\x80"), 2u);
  EXPECT_EQ(base::find_invalid_utf8("\xC0\x80"), 0u);              // overlong NUL
  EXPECT_EQ(base::find_invalid_utf8("x\xE0\x80\x80"), 1u);         // overlong
  EXPECT_EQ(base::find_invalid_utf8("x\xED\xA0\x80"), 1u);         // a surrogate
  EXPECT_EQ(base::find_invalid_utf8("x\xF4\x90\x80\x80"), 1u);     // above 0x10FFFF
  EXPECT_EQ(base::find_invalid_utf8("\xE4\xB8\xAD\xE4\xB8"), 3u);  // cut off
  std::string text(1000, 'a');
  text += "\xC3\xA9\xC3";
  EXPECT_EQ(base::find_invalid_utf8(text), 1002u);
}

TEST(Unicode, InvalidBytesAreReplaced) {
  EXPECT_EQ(base::valid_utf8("na\xEFve \xE2\x82 é \xED\xA0\x80 \xFF"),
            "na\uFFFDve \uFFFD\uFFFD é \uFFFD\uFFFD\uFFFD \uFFFD");
  EXPECT_EQ(base::valid_utf8("日本語 \uFFFD"), "日本語 \uFFFD");
  EXPECT_EQ(base::valid_utf8(""), "");
}

// Against the slow, obvious definition: bytes that decode and encode back to themselves.
TEST(Unicode, RandomBytesNeverReadOutsideAndAgreeWithTheDefinition) {
  base::Random random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string text(random.below(12), '\0');
    constexpr std::string_view kBytes = "a\x80\xBF\xC2\xE0\xED\xA0\xF0\x90\xF4\x8F\xFF";
    for (char& c : text) c = kBytes[random.below(kBytes.size())];
    std::size_t expected = text.size();
    for (std::size_t position = 0; position < text.size();) {
      std::size_t begin = position;
      std::string again;
      base::append_utf8(again, base::next_code_point(text, position));
      ASSERT_LE(position, text.size());
      if (text.substr(begin, position - begin) != again) {
        expected = begin;
        break;
      }
    }
    ASSERT_EQ(base::find_invalid_utf8(text), expected == text.size() ? std::string::npos : expected);
    base::to_lower(text);
    base::to_nfd(text);
  }
}

}  // namespace
