#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "curate/steps/document.h"
#include "curate/text/chunk_start.h"
#include "curate/text/lines.h"
#include "curate/text/spacy_words.h"
#include "tests/curate/golden.h"
#include "tests/curate/random_pieces.h"
#include "tests/curate/slow_words.h"

namespace {

using curate::SpacyWords;
using curate::Word;
using testing::ElementsAre;

std::vector<std::string> split(std::string_view text) { return split_words<SpacyWords>(text); }

TEST(Words, TheRulesOfEnglish) {
  EXPECT_THAT(split("I don't, can't and cannot."),
              ElementsAre("I", "do", "n't", ",", "ca", "n't", "and", "can", "not", "."));
  EXPECT_THAT(split("Mr. O'Neil's \"well-known\" co."),
              ElementsAre("Mr.", "O'Neil", "'s", "\"", "well", "-", "known", "\"", "co."));
  EXPECT_THAT(split("5km 10% $20 1,000 a/b x=y"),
              ElementsAre("5", "km", "10", "%", "$", "20", "1,000", "a", "/", "b", "x", "=", "y"));
  EXPECT_THAT(split("see http://example.com/a?b=c and a@b.org, U.S."),
              ElementsAre("see", "http://example.com/a?b=c", "and", "a@b.org", ",", "U.S."));
  EXPECT_THAT(split("yes...no :-) (:foo:) 20°C."),
              ElementsAre("yes", "...", "no", ":-)", "(:", "foo", ":)", "20", "°", "C", "."));
  EXPECT_THAT(split(" \n\t\u00a0"), ElementsAre());
  EXPECT_THAT(split("naïve\u2028café"), ElementsAre("naïve", "café"));
}

TEST(Words, DatatrovesQuirk) {
  EXPECT_THAT(split("a IS_ALPHA b xIS_ALPHA"), ElementsAre("a", "b", "x"));
  EXPECT_THAT(split("xIS_ALPHA b"), ElementsAre("xIS_ALPHA", "b")) << "no token of its own: nothing is deleted";
}

TEST(Words, FlagsAndLengths) {
  SpacyWords words;
  words.split("été #1 …");
  ASSERT_EQ(words.size(), 4u);
  EXPECT_EQ(words.all()[0].code_points, 3u);
  EXPECT_EQ(words.all()[0].bytes, 5u);
  EXPECT_EQ(words.all()[0].flags, Word::kHasAlpha | Word::kHasNonSymbol | Word::kAfterSpace);
  EXPECT_EQ(words.all()[1].flags, Word::kAllPunctuation | Word::kAfterSpace);
  EXPECT_EQ(words.all()[2].flags, std::uint32_t{Word::kHasNonSymbol});
}

TEST(Words, Sentences) {
  auto count = [](std::string_view text) {
    SpacyWords words;
    words.split(text);
    return curate::count_sentences(words.all(), words.ends_with_space_token());
  };
  EXPECT_EQ(count(""), 1u);
  EXPECT_EQ(count("One. Two! Three?"), 3u);
  EXPECT_EQ(count("He said \"Stop.\" Then"), 2u);
  EXPECT_EQ(count("One.  "), 2u) << "two blanks are a token of their own";
  EXPECT_EQ(count("One. "), 1u);
  EXPECT_EQ(count("Wait... no"), 1u) << "an ellipsis is not one of the sentencizer's characters";
}

std::string random_text(base::Random& random) {
  static const std::vector<std::string> parts = {
      "a",      "b",   "X",      "Y",      "Z",   "0",       "1",      "9",      ".",        ".",    ",",
      ":",      ";",   "!",      "?",      "'",   "\"",      "(",      ")",      "[",        "]",    "{",
      "}",      "<",   ">",      "-",      "_",   "+",       "*",      "/",      "=",        "&",    "%",
      "$",      "#",   "@",      "~",      "^",   "|",       "\\",     " ",      " ",        " ",    "  ",
      "\t",     "\n",  "\u00a0", "’",      "…",   "—",       "–",      "°",      "£",        "€",    "é",
      "É",      "ß",   "И",      "ж",      "漢",  "🙂",    "\u200d", "\u0301", "\xC2\x85", "\x1c", "\u2028",
      "½",      "²",   "...",    "US$",    "10",  "km",      "word",   "Word",   "WORD",     "it's", "don't",
      "cannot", "--",  "'s",     "’s",     "……",  "°C.",     ":)",     "Mr.",    "a.m.",     "o.O",  "e.g.",
      "'em",    "ol'", "w/o",    "and/or", "C++", "><(((*>", "gonna",  "he'd",   "I'm"};
  return random_pieces(random, parts, 1 + random.below(14), 0);
}

TEST(Words, TheFastSplitterIsTheSlowOne) {
  base::Random random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string text = random_text(random);
    // A dot and two lower-case letters could make a URL, which the slow splitter does not know.
    SpacyWords words;
    words.split(text);
    bool url = false;
    for (const Word& word : words.all()) url |= words.text(word).find('.') != std::string_view::npos && word.bytes > 4;
    if (url) continue;
    ASSERT_EQ(split(text), slow::split(text)) << text;
  }
}

TEST(Words, TheComparisonCanFail) {
  base::Random random(1);
  int different = 0;
  for (int i = 0; i < 2000; ++i) {  // without the table of special cases
    std::string text = random_text(random);
    std::vector<slow::Text> plain;
    for (const slow::Token& chunk : slow::chunks(slow::decode(text))) slow::cut_chunk(chunk.text, false, plain);
    std::vector<std::string> words;
    for (const slow::Text& word : plain) words.push_back(slow::encode(word));
    different += words != split(text);
  }
  EXPECT_GT(different, 100);
}

TEST(Words, GoldenWordsOfSpacy) {
  const nlohmann::json rules = golden("rules.json");
  ASSERT_GT(rules["documents"].size(), 400u);
  for (const auto& document : rules["documents"]) {
    std::string text = document["text"];
    if (text == "IS_ALPHA") continue;  // the first time in its life spaCy does not stumble
    ASSERT_EQ(split(text), document["words"].get<std::vector<std::string>>()) << text;
  }
}

TEST(Lines, AsPythonCutsThem) {
  std::vector<std::string_view> parts;
  curate::split_lines(
      "a\r\nb\rc\vd\fe\x1c"
      "f\xC2\x85g\u2028h\n\n",
      parts);
  EXPECT_THAT(parts, ElementsAre("a", "b", "c", "d", "e", "f", "g", "h", ""));
  curate::split_at_newline_runs("\n\na\nb\n\n\nc", 1, parts);
  EXPECT_THAT(parts, ElementsAre("", "a", "b", "c"));
  curate::split_at_newline_runs("a\nb\n\n\nc", 2, parts);
  EXPECT_THAT(parts, ElementsAre("a\nb", "c"));
  EXPECT_EQ(curate::strip("\u3000 a b\u00a0\n\x1f"), "a b");
  EXPECT_EQ(curate::count_three_dots(std::string(100, ' ') + "......." + std::string(100, '.')), 2u + 33u);
}

TEST(Lines, CountsAgreeWithTheObviousOnes) {
  base::Random random(5);
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (std::uint64_t j = 0, n = random.below(60); j < n; ++j) text += random_text(random);
    std::size_t code_points = slow::decode(text).size();
    EXPECT_EQ(curate::count_code_points(text), code_points);
    EXPECT_EQ(curate::is_ascii(text), code_points == text.size());
    std::size_t dots = 0;
    for (std::size_t at = text.find("..."); at != std::string::npos; at = text.find("...", at + 3)) ++dots;
    EXPECT_EQ(curate::count_three_dots(text), dots);
  }
}

TEST(ChunkStart, SixteenBytesAtOnceSayWhatOneByOneDo) {
  base::Random random(5);
  const std::string bytes = std::string("azAZ09 \t\n\x1c\x1f\x7f.,-'`@[{/:") + "\xC2\xA0\xFF" + std::string(1, '\0');
  for (int round = 0; round < 20000; ++round) {
    std::string text(16 + random.below(20), 'a');
    for (char& c : text)
      if (random.below(4) == 0) c = bytes[random.below(bytes.size())];
    const curate::ChunkStart fast = curate::look_at(text, 0), slow = curate::chunk::look_at_bytes(text, 0);
    EXPECT_EQ(fast.plain, slow.plain) << text;
    EXPECT_EQ(fast.letters, slow.letters) << text;
    EXPECT_EQ(fast.digits, slow.digits) << text;
    // What it knows of the chunk is no white space and ASCII; white space follows where it says so.
    auto is_space = [](char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); };
    for (std::size_t i = 0; i < fast.known; ++i) EXPECT_TRUE(text[i] >= 0 && !is_space(text[i])) << text;
    EXPECT_TRUE(!fast.whole || is_space(text[fast.known])) << text;
  }
}

}  // namespace
