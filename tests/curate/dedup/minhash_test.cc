#include "curate/dedup/minhash.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "base/random.h"
#include "base/unicode.h"
#include "curate/dedup/simplify.h"
#include "curate/text/spacy_words.h"
#include "tests/curate/golden.h"
#include "tests/curate/random_pieces.h"

namespace curate {
namespace {

// The slow, obvious way: lower-case all, cut into words, join five.
std::vector<std::string> slow_shingles(std::string_view text, std::size_t n = 5) {
  const std::string lower = base::to_lower(text);
  std::vector<std::string> words;
  std::string word;
  for (std::size_t i = 0; i < lower.size();) {
    char32_t c = base::next_code_point(lower, i);
    if (base::is_word_character(c)) {
      base::append_utf8(word, c);
    } else if (!word.empty()) {
      words.push_back(word), word.clear();
    }
  }
  if (!word.empty()) words.push_back(word);
  std::vector<std::string> shingles;
  for (std::size_t i = 0; i == 0 || i + n <= words.size(); ++i) {
    std::string joined;
    for (std::size_t j = i; j < std::min(i + n, words.size()); ++j) joined += words[j] + " ";
    if (!joined.empty()) shingles.push_back(joined);
  }
  return shingles;
}

TEST(Shingles, EqualTheSlowWay) {
  base::Random random(1);
  const std::vector<std::string> pieces = {
      "the", "The", "Über", "über",    "İstanbul", "i",  "ΣΑΣ", "σας", "naïve", "don't", "x_1",  "é", "日本語",
      "𐐀𐐨",  "ﬁne", "१२",   "a\u0301", " ",        "\n", "-",   "…",   "!",     "word",  "WORD", "Ⅷ", "ß"};
  Shingler shingler;
  std::map<std::string, std::uint64_t> hash_of;
  std::map<std::uint64_t, std::string> text_of;
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_pieces(random, pieces, random.below(40), 0.5);
    std::vector<std::string> slow = slow_shingles(text);
    auto fast = shingler.shingles(text);
    ASSERT_EQ(fast.size(), slow.size()) << text;
    for (std::size_t i = 0; i < slow.size(); ++i) {  // equal strings <=> equal hashes, in all texts
      auto [hash, fresh] = hash_of.emplace(slow[i], fast[i]);
      ASSERT_EQ(hash->second, fast[i]) << text << " / " << slow[i];
      auto [back, new_hash] = text_of.emplace(fast[i], slow[i]);
      ASSERT_EQ(back->second, slow[i]);
    }
  }
  EXPECT_GT(hash_of.size(), 10000u);
}

TEST(Shingles, ShortTexts) {
  Shingler shingler;
  EXPECT_EQ(shingler.shingles("").size(), 0u);
  EXPECT_EQ(shingler.shingles("!!! --- …").size(), 0u);
  EXPECT_EQ(shingler.shingles("one two").size(), 1u);
  const std::uint64_t two = shingler.shingles("One, two!")[0];
  EXPECT_EQ(shingler.shingles("one two")[0], two);
  EXPECT_NE(shingler.shingles("two one")[0], two);
  EXPECT_NE(shingler.shingles("onetwo")[0], two);
  EXPECT_EQ(shingler.shingles("a b c d e").size(), 1u);
  EXPECT_EQ(shingler.shingles("a b c d e f").size(), 2u);
}

TEST(Signature, EveryKernelGivesTheSame) {
  base::Random random(2);
  for (std::size_t count : {0u, 1u, 2u, 15u, 16u, 17u, 1000u}) {
    std::vector<std::uint64_t> shingles(count);
    for (auto& shingle : shingles) shingle = random();
    Signature portable = sign_with("portable", shingles);
    for (const std::string& kernel : sign_kernels()) EXPECT_EQ(sign_with(kernel, shingles), portable) << kernel;
    EXPECT_EQ(sign(shingles), portable);
    // And the definition, one value at a time.
    for (int i = 0; i < kPermutations; ++i) {
      std::uint32_t least = ~0u;
      auto a = static_cast<std::uint32_t>(base::mix64(2 * static_cast<std::uint64_t>(i) + 1) >> 32) | 1;
      auto b = static_cast<std::uint32_t>(base::mix64(2 * static_cast<std::uint64_t>(i) + 2) >> 32);
      for (std::uint64_t shingle : shingles) least = std::min(least, a * static_cast<std::uint32_t>(shingle >> 32) + b);
      ASSERT_EQ(portable[static_cast<std::size_t>(i)], least);
    }
  }
}

// The share of equal values estimates the Jaccard: mean within 0.01 over many pairs.
TEST(Signature, EstimatesJaccard) {
  base::Random random(3);
  for (double wanted : {0.3, 0.8}) {
    double sum = 0;
    constexpr int kPairs = 300, kShared = 400;
    int own = static_cast<int>(std::lround(kShared * (1 - wanted) / wanted / 2));
    for (int pair = 0; pair < kPairs; ++pair) {
      std::vector<std::uint64_t> a, b;
      for (int i = 0; i < kShared; ++i) a.push_back(random());
      b = a;
      for (int i = 0; i < own; ++i) a.push_back(random()), b.push_back(random());
      Signature x = sign(a), y = sign(b);
      int equal = 0;
      for (std::size_t i = 0; i < x.size(); ++i) equal += x[i] == y[i];
      sum += equal / static_cast<double>(kPermutations);
    }
    EXPECT_NEAR(sum / kPairs, kShared / (kShared + 2.0 * own), 0.01);
  }
}

TEST(Jaccard, EqualsSetsAndStopsEarly) {
  base::Random random(4);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint64_t> a, b;
    for (std::uint64_t i = random.below(200); i > 0; --i) a.push_back(random.below(150));
    for (std::uint64_t i = random.below(200); i > 0; --i) b.push_back(random.below(150));
    make_set(a), make_set(b);
    std::set<std::uint64_t> all(a.begin(), a.end());
    all.insert(b.begin(), b.end());
    double exact =
        all.empty() ? 0 : static_cast<double>(a.size() + b.size() - all.size()) / static_cast<double>(all.size());
    EXPECT_EQ(jaccard(a, b), exact);
    double at_least = random.uniform();
    EXPECT_EQ(jaccard(a, b, at_least), exact >= at_least ? exact : -1);
    EXPECT_EQ(jaccard(a, b, exact), exact);
  }
}

TEST(SimplifyText, Examples) {
  EXPECT_EQ(simplify_text("  It cost 1,234.50 Euro — “naïve” Café!\n\tYes.  "), "it cost 0 0 euro naive cafe yes");
  EXPECT_EQ(simplify_text("1٫5 and １２ and v2.0.1"), "0 and 0 and v0 0");
  EXPECT_EQ(simplify_text("a\u0301\u0300 ."), "a");
  EXPECT_EQ(simplify_text("…"), "");
}

// scripts/oracle/datatrove_shingles.py: the same normal form and words as datatrove, the same words as Python's re.
TEST(SimplifyText, EqualsDatatrove) {
  const auto shingles = golden("shingles.json");
  ASSERT_EQ(shingles["datatrove"], "0.10.1");
  Shingler shingler(1);
  std::set<std::uint64_t> hashes;
  std::set<std::string> plain;
  int checked = 0;
  for (const auto& text : shingles["texts"]) {
    const std::string simplified = simplify_text(text["text"].get_ref<const std::string&>());
    ASSERT_EQ(simplified, text["simplified"].get<std::string>()) << text["text"];
    ASSERT_EQ(split_words<SpacyWords>(simplified), text["words"].get<std::vector<std::string>>()) << text["text"];
    auto own = shingler.shingles(text["text"].get_ref<const std::string&>());
    ASSERT_EQ(own.size(), text["plain"].size()) << text["text"];
    for (std::size_t i = 0; i < own.size(); ++i) {
      hashes.insert(own[i]);
      plain.insert(text["plain"][i].get<std::string>());
    }
    checked += static_cast<int>(own.size());
  }
  EXPECT_EQ(hashes.size(), plain.size());
  EXPECT_GT(checked, 2000);
}

}  // namespace
}  // namespace curate
