// The rules against datatrove's decisions, reasons and values (scripts/oracle/datatrove_rules.py), and by hand.
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "base/random.h"
#include "curate/steps/c4.h"
#include "curate/steps/fineweb.h"
#include "curate/steps/gopher.h"
#include "curate/steps/ngrams.h"
#include "tests/curate/golden.h"
#include "tests/curate/random_pieces.h"

namespace {

using curate::Document;
using curate::Measure;
using curate::Verdict;

const nlohmann::json& golden_rules() {
  static const nlohmann::json kRules = golden("rules.json");
  return kRules;
}

// Decisions and values that differ from the golden file's, over all its texts.
int differences(const std::string& name, curate::Step& step) {
  step.prepare();
  Document document;
  int found = 0;
  for (const auto& entry : golden_rules()["documents"]) {
    std::string text = entry["text"];
    if (text == "IS_ALPHA") continue;
    const auto& expected = entry["filters"][name];
    if (expected[1] == "ZeroDivisionError") continue;
    document.reset(text, "1", "");
    Verdict verdict = step.apply(document);
    bool same = verdict.keep == expected[0].get<bool>() && verdict.reason == expected[1].get<std::string>();
    same &= !verdict.keep || document.text() == (expected.size() > 2 ? expected[2].get<std::string>() : text);
    std::vector<Measure> measures;
    document.reset(text, "1", "");
    Verdict again = step.apply(document, &measures);
    same &= again.keep == verdict.keep && again.reason == verdict.reason;
    for (const Measure& measure : measures) {
      auto value = entry["values"].find(measure.name);
      if (value != entry["values"].end()) same &= std::abs(value->get<double>() - measure.value) < 1e-6;
    }
    if (!same && found++ < 3) ADD_FAILURE() << name << ": " << verdict.reason << " not " << expected << "\n" << text;
  }
  return found;
}

TEST(Rules, DecideAsDatatrove) {
  ASSERT_EQ(golden_rules()["datatrove"], "0.10.1");
  curate::GopherRepetition repetition;
  EXPECT_EQ(differences("gopher_repetition", repetition), 0);
  curate::GopherQuality quality;
  EXPECT_EQ(differences("gopher_quality", quality), 0);
  curate::C4 c4;
  EXPECT_EQ(differences("c4_strict", c4), 0);
  c4.filter_no_terminal_punct = false;
  EXPECT_EQ(differences("c4", c4), 0);
  curate::FineWeb fineweb;
  EXPECT_EQ(differences("fineweb", fineweb), 0);
}

// A step with one threshold moved must not agree any more.
template <class S, class F>
void expect_that_it_can_fail(const std::string& name, F change) {
  S step;
  change(step);
  testing::TestPartResultArray failures;
  int found;
  {
    testing::ScopedFakeTestPartResultReporter reporter(&failures);
    found = differences(name, step);
  }
  EXPECT_GT(found, 0) << name;
}

TEST(Rules, TheComparisonCanFail) {
  expect_that_it_can_fail<curate::GopherRepetition>("gopher_repetition",
                                                    [](auto& step) { step.duplicated_n_grams[0] = 0.2; });
  expect_that_it_can_fail<curate::GopherRepetition>("gopher_repetition", [](auto& step) { step.top_n_gram[2] = 0.17; });
  expect_that_it_can_fail<curate::GopherQuality>("gopher_quality", [](auto& step) { step.min_stop_words = 3; });
  expect_that_it_can_fail<curate::C4>("c4_strict", [](auto& step) { step.remove_citations = false; });
  expect_that_it_can_fail<curate::FineWeb>("fineweb", [](auto& step) { step.short_line_length = 29; });
}

// ---- n-grams against the obvious way
// -----------------------------------------------------------------------------------

std::vector<std::string> words_of(Document& document) {
  std::vector<std::string> words;
  for (const curate::Word& word : document.words().all()) words.emplace_back(document.words().text(word));
  return words;
}

std::uint64_t obvious_top(const std::vector<std::string>& words, std::size_t n) {
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  for (std::size_t i = 0; i + n <= words.size(); ++i) {
    std::string gram = words[i];
    for (std::size_t j = 1; j < n; ++j) gram += " " + words[i + j];
    auto known = std::find_if(counts.begin(), counts.end(), [&](auto& entry) { return entry.first == gram; });
    if (known == counts.end()) {
      counts.emplace_back(gram, 1);
    } else {
      ++known->second;
    }
  }
  std::uint64_t most = 0, length = 0;
  for (auto& [gram, count] : counts) {
    if (count > most) most = count, length = gram.size();
  }
  return most * length;
}

std::uint64_t obvious_duplicated(const std::vector<std::string>& words, std::size_t n) {
  std::set<std::string> seen;
  std::uint64_t repeated = 0;
  for (std::size_t i = 0; i + n <= words.size();) {
    std::string gram;
    for (std::size_t j = 0; j < n; ++j) gram += words[i + j];
    if (seen.insert(gram).second) {
      ++i;
    } else {
      repeated += gram.size();
      i += n;
    }
  }
  return repeated;
}

double obvious_covered(const std::vector<std::string>& words, std::size_t n, bool only_most_frequent) {
  std::map<std::vector<std::string>, std::vector<std::size_t>> places;
  std::size_t most = 2, total = 0, best = 0;
  for (std::size_t i = 0; i + n <= words.size(); ++i) {
    auto& found =
        places[{words.begin() + static_cast<std::ptrdiff_t>(i), words.begin() + static_cast<std::ptrdiff_t>(i + n)}];
    found.push_back(i);
    most = std::max(most, found.size());
  }
  for (const std::string& word : words) total += word.size();
  std::set<std::size_t> all;
  auto letters = [&](const std::set<std::size_t>& covered) {
    std::size_t sum = 0;
    for (std::size_t i : covered) sum += words[i].size();
    return sum;
  };
  for (const auto& [gram, found] : places) {
    std::set<std::size_t> covered;
    for (std::size_t i : found) {
      for (std::size_t j = 0; j < n; ++j) covered.insert(i + j);
    }
    if (found.size() == most) best = std::max(best, letters(covered));
    if (found.size() > 1) all.insert(covered.begin(), covered.end());
  }
  if (total == 0) return 0;
  return static_cast<double>(only_most_frequent ? best : letters(all)) / static_cast<double>(total);
}

TEST(NGrams, AreCountedTheObviousWay) {
  base::Random random(17);
  Document document;
  for (int round = 0; round < 440; ++round) {
    // Few different short words, so that n-grams repeat, also across other word boundaries ("ab c", "a bc").
    static const std::vector<std::string> parts = {"a",        "b", "ab", "ba",  "aab",
                                                   "abcdefgh", "-", "--", "xyz", "abcdefghijklmnopqrstu"};
    const std::span<const std::string> some(parts.data(), 1 + random.below(parts.size()));
    const std::string text = random_pieces(random, some, random.below(round < 400 ? 120 : 3000), 1);
    document.reset(text, "", "");
    std::vector<std::string> words = words_of(document);
    curate::TopNGrams top(document, document.words());
    for (std::size_t n = 2; n <= 4; ++n) EXPECT_EQ(top.next(), obvious_top(words, n)) << n << " " << text;
    curate::DuplicateNGrams duplicated(document, document.words(), 5);
    for (std::size_t n = 5; n <= 10; ++n) {
      EXPECT_EQ(duplicated.code_points(n), obvious_duplicated(words, n)) << n << " " << text;
    }
    for (std::size_t n = 2; n <= 6; ++n) {
      for (bool only_most_frequent : {false, true}) {
        EXPECT_EQ(curate::covered_by_repeated_n_grams(document, document.words(), n, only_most_frequent),
                  obvious_covered(words, n, only_most_frequent))
            << n << " " << text;
      }
    }
  }
}

TEST(Sieve, NeverCountsTooFew) {
  base::Random random(3);
  curate::Sieve sieve;
  for (std::size_t hashes : {0u, 1u, 7u, 1000u, 70000u}) {
    sieve.reset(hashes);
    const curate::Sieve::Places places = sieve.places();
    std::map<std::uint64_t, std::pair<std::uint32_t, std::uint32_t>> seen;  // times, place
    for (std::size_t i = 0; i < hashes; ++i) {
      // A few hashes come hundreds of times, most once.
      const std::uint64_t hash = random.below(2) ? random.below(3) : random();
      auto& [times, place] = seen[hash];
      place = places.add(hash);
      ++times;
    }
    std::size_t once = 0, told_apart = 0;
    for (const auto& [hash, one] : seen) {
      EXPECT_GE(places.count(one.second), std::min<std::uint32_t>(one.first, curate::Sieve::kMost));
      once += one.first == 1;
      told_apart += one.first == 1 && places.count(one.second) == 1;
    }
    EXPECT_GE(told_apart * 10, once * 8) << "or it sifts nothing";
    EXPECT_EQ(places.count(sieve.always()), curate::Sieve::kMost);
  }
}

// ---- by hand
// -----------------------------------------------------------------------------------------------------------

TEST(C4, Citations) {
  EXPECT_EQ(curate::without_citations("a[1] b[] c[edit] d[citation needed]."), "a b c d.");
  EXPECT_EQ(curate::without_citations("[[12]] [x] [1"), "[] [x] [1");
  EXPECT_EQ(curate::without_citations("[١٢]x"), "x") << "digits of any script";
}

TEST(C4, PhrasesAreFoundWhereverTheyStand) {
  std::vector<std::pair<std::uint32_t, curate::Phrase>> found;
  for (const char* phrase : {"Lorem Ipsum", "JAVASCRIPT", "terms of use", "Privacy policy", "cookie policy",
                             "uses cookies", "USE OF COOKIES", "use cookies"}) {
    for (std::size_t before = 0; before < 140; ++before) {
      curate::find_phrases(std::string(before, '.') + phrase + std::string(70, '.'), found);
      ASSERT_EQ(found.size(), 1u) << phrase << " " << before;
      EXPECT_EQ(found[0].first, before);
    }
    curate::find_phrases(phrase, found);
    EXPECT_EQ(found.size(), 1u) << phrase;
    curate::find_phrases(std::string(phrase).substr(0, std::strlen(phrase) - 1), found);
    EXPECT_EQ(found.size(), 0u);
  }
}

TEST(C4, CountsTheWordsOfTheEditedText) {
  curate::C4 step;
  std::string text =
      "  First sentence here. [1] Second one is there.\nshort\nThird, don't go. Fourth is it? Yes it is!  \n";
  Document document;
  document.reset(text, "", "");
  ASSERT_TRUE(step.apply(document).keep);
  EXPECT_EQ(document.text(), "First sentence here.  Second one is there.\nThird, don't go. Fourth is it? Yes it is!");
  EXPECT_TRUE(document.edited());
  std::size_t told = document.word_count();
  EXPECT_EQ(told, document.words().size());
}

// Of the second line datatrove's splitter deletes "IS_ALPHA"; the white space before it is then a sentence to it.
TEST(C4, CountsASentenceOfWhiteSpace) {
  curate::C4 step;
  step.filter_no_terminal_punct = false;
  for (std::int64_t least : {3, 4}) {
    step.min_num_sentences = least;
    Document document;
    document.reset("One fine day came here.\nWord one two.  IS_ALPHA", "", "");
    EXPECT_EQ(step.apply(document).keep, least == 3) << least;
  }
}

TEST(Gopher, ThresholdZeroIsOff) {
  Document document;
  std::string text = "x";
  document.reset(text, "", "");
  curate::GopherQuality quality;
  quality.min_doc_words = 0;
  quality.min_avg_word_length = 0;
  quality.min_stop_words = 0;
  quality.prepare();
  EXPECT_TRUE(quality.apply(document).keep);
  quality.min_doc_words = 50;
  Verdict verdict = quality.apply(document);
  EXPECT_EQ(verdict.reason, "gopher_short_doc");
  EXPECT_EQ(verdict.value, 1);
  EXPECT_EQ(verdict.threshold, 50);
}

}  // namespace
