// What `explain` names is what the rule counted: the evidence adds up to the value.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/random.h"
#include "curate/steps/c4.h"
#include "curate/steps/fineweb.h"
#include "curate/steps/gopher.h"
#include "curate/steps/unicode_step.h"
#include "curate/text/lines.h"
#include "tests/curate/random_pieces.h"

namespace curate {
namespace {

std::string random_text(base::Random& random) {
  static const std::vector<std::string> parts = {"the", "river", "and",     "stone.", "of",     "#",     "...",
                                                 "3",   "--",    "child's", "water",  "that",   "\n- a", "\n\n",
                                                 "\n",  "\n• b", "end…\n",  "é",      "same\n", "x?\n",  "="};
  std::string text = random_pieces(random, parts, 1 + random.below(80), 1);
  if (random.below(2)) text += text.substr(0, text.find(' ', text.size() / 2));
  return text;
}

struct Sums {
  double times = 0, characters = 0, entries = 0;
};
Sums sums_of(const std::vector<Evidence>& evidence) {
  Sums sums;
  for (const Evidence& one : evidence) {
    ++sums.entries;
    sums.times += static_cast<double>(one.times);
    sums.characters += static_cast<double>(one.times * one.characters);
  }
  return sums;
}

// Calls f(measure, evidence, text, document) for all measures of a step on random texts.
template <class S, class F>
void each_measure(S step, F f) {
  step.prepare();
  base::Random random(31);
  Document document, other;
  for (int i = 0; i < 400; ++i) {
    const std::string text = random_text(random);
    std::vector<Measure> measures;
    document.reset(text, "", "");
    step.apply(document, &measures);
    for (const Measure& measure : measures) {
      other.reset(text, "", "");
      const std::vector<Evidence> evidence = step.evidence(other, measure.name);
      for (const Evidence& one : evidence) {
        EXPECT_FALSE(one.what.empty());
        EXPECT_NE(text.find(one.span), text.npos) << one.span;
      }
      f(measure, evidence, text, other);
    }
  }
}

TEST(Evidence, RepetitionAddsUpToTheValue) {
  int seen = 0;
  each_measure(GopherRepetition(), [&](const Measure& measure, const std::vector<Evidence>& evidence,
                                       const std::string& text, Document& document) {
    const Sums sums = sums_of(evidence);
    const double length = document.code_points();
    std::vector<std::string_view> parts;
    if (measure.name == "dup_para_frac") split_at_newline_runs(strip(text), 2, parts);
    if (measure.name == "dup_line_frac") split_at_newline_runs(text, 1, parts);
    if (!parts.empty()) {
      EXPECT_EQ(sums.times / static_cast<double>(parts.size()), measure.value) << measure.name;
    } else {
      EXPECT_EQ(sums.characters / length, measure.value) << measure.name << "\n" << text;
    }
    seen += measure.value > 0;
    if (!measure.name.starts_with("top_") || evidence.empty()) return;
    // The n-gram that is named stands there so often.
    const std::size_t n = static_cast<std::size_t>(measure.name[4] - '0');
    const std::vector<Word>& words = document.words().all();
    const std::string named(evidence[0].span);
    auto joined = [&](std::size_t first) {
      std::string all;
      for (std::size_t j = first; j < first + n; ++j) all += std::string(document.words().text(words[j])) + " ";
      return all;
    };
    std::size_t first = 0, count = 0;
    while (words[first].offset != static_cast<std::size_t>(evidence[0].span.data() - document.text().data())) ++first;
    for (std::size_t i = 0; i + n <= words.size(); ++i) count += joined(i) == joined(first);
    EXPECT_EQ(count, evidence[0].times) << named;
    EXPECT_EQ(count_code_points(joined(first)) - 1, evidence[0].characters) << named;
  });
  EXPECT_GT(seen, 1000);
}

TEST(Evidence, QualityAddsUpToTheValue) {
  int seen = 0;
  each_measure(GopherQuality(), [&](const Measure& measure, const std::vector<Evidence>& evidence, const std::string&,
                                    Document& document) {
    const Sums sums = sums_of(evidence);
    const double words = static_cast<double>(document.word_count()),
                 lines = static_cast<double>(document.lines().size());
    const std::string_view name = measure.name;
    if (words == 0) return;
    ++seen;
    if (name == "gopher_too_many_hashes" || name == "gopher_too_many_ellipsis") {
      EXPECT_EQ(sums.times / words, measure.value);
    } else if (name == "gopher_too_many_bullets" || name == "gopher_too_many_end_ellipsis") {
      EXPECT_EQ(sums.entries / lines, measure.value);
    } else if (name == "gopher_below_alpha_threshold") {
      EXPECT_NEAR(1 - sums.times / words, measure.value, 1e-12);
    } else if (name == "gopher_enough_stop_words") {
      EXPECT_EQ(measure.value == 0 ? 0 : sums.entries, measure.value);
    } else {
      --seen;
      EXPECT_FALSE(evidence.empty()) << name;
    }
  });
  EXPECT_GT(seen, 1000);
}

TEST(Evidence, FineWebAddsUpToTheValue) {
  each_measure(FineWeb(), [&](const Measure& measure, const std::vector<Evidence>& evidence, const std::string& text,
                              Document& document) {
    const Sums sums = sums_of(evidence);
    double lines = 0, breaks = static_cast<double>(document.newline_parts().size()) - 1;
    for (std::string_view line : document.newline_parts()) lines += !strip(line).empty();
    if (measure.name == "line_punct_ratio") {
      EXPECT_NEAR(1 - sums.entries / lines, measure.value, 1e-12);
    } else if (measure.name == "short_line_ratio") {
      EXPECT_EQ(sums.entries / lines, measure.value);
    } else if (measure.name == "char_dup_ratio") {
      EXPECT_EQ(sums.characters / (document.code_points() - breaks), measure.value) << text;
    }
  });
}

// The measure counts in the mended text, the evidence in the text as it came: no repair makes or takes a U+FFFD.
TEST(Evidence, UnicodeCountsWhatTheRepairsLeave) {
  Unicode step;
  step.max_replacement_share = 0.1;
  base::Random random(32);
  static const std::vector<std::string> parts = {"\xEF\xBF\xBD",
                                                 "\xC3\xAF\xC2\xBF\xC2\xBD",  // U+FFFD, and read as Windows-1252
                                                 "Ã©",
                                                 "Ã",
                                                 "Â",
                                                 "\r",
                                                 "\r\n",
                                                 "\n",
                                                 "\x01",
                                                 "\xEF\xBF\xBE",
                                                 "e\xCC\x81",
                                                 "text"};
  int seen = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string text = random_pieces(random, parts, 1 + random.below(30), 1);
    Document before, after;
    before.reset(text, "", "");
    after.reset(text, "", "");
    std::vector<Measure> measures;
    step.apply(after, &measures);
    ASSERT_EQ(measures.size(), 1u);
    const Sums sums = sums_of(step.evidence(before, measures[0].name));
    const double length = after.code_points();
    EXPECT_EQ(length == 0 ? 0 : sums.times / length, measures[0].value) << text;
    seen += after.edited() && sums.times > 0;
  }
  EXPECT_GT(seen, 1000);
}

TEST(Evidence, C4NamesTheLinesThatItDropsAndTheBracket) {
  C4 step;
  step.prepare();
  Document document;
  document.reset(
      "This line is one that stays.\nPlease enable javascript to go on.\nno end\nToo short.\n"
      "We have a privacy policy for that.\nAnd here is a { bracket in a line.",
      "", "");
  std::vector<std::string> dropped;
  for (const Evidence& one : step.evidence(document, "")) dropped.push_back(std::string(one.span) + ": " + one.what);
  EXPECT_EQ(dropped, (std::vector<std::string>{"Please enable javascript to go on.: speaks of JavaScript",
                                               "no end: does not end a sentence",
                                               "Too short.: has fewer words than min_words_per_line",
                                               "We have a privacy policy for that.: speaks of a policy or cookies"}));
  document.reset("A first line that stays as it is.\nno end", "", "");
  for (int again = 0; again < 2; ++again) EXPECT_EQ(step.evidence(document, "").size(), 1u);
  document.reset("And here is a { bracket in a line.", "", "");
  const std::vector<Evidence> bracket = step.evidence(document, "curly_bracket");
  ASSERT_EQ(bracket.size(), 1u);
  EXPECT_EQ(bracket[0].span, "{ bracket in a line.");
  EXPECT_TRUE(step.evidence(document, "lorem_ipsum").empty());
}

}  // namespace
}  // namespace curate
