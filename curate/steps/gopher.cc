// The rules of Gopher (Rae et al. 2021, appendix A.1) as datatrove decides them: same reasons, order and arithmetic; or
// as the paper words them, under the same names. Tested by tests/curate/steps/rules_test.cc and
// tests/curate/presets_test.cc.
#include "curate/steps/gopher.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/text.h"
#include "curate/steps/judge.h"
#include "curate/steps/ngrams.h"
#include "curate/text/lines.h"

namespace curate {
namespace {

struct Duplicates {
  std::size_t parts = 0, code_points = 0;
};

}  // namespace

void GopherRepetition::visit(base::OptionVisitor& v) {
  semantics.visit(v, {"datatrove-0.10", "icu", "datatrove-0.2", "gopher-paper"});
  v("dup_para_frac", dup_para_frac, "largest share of repeated paragraphs (0: off)").between(0, 1);
  v("dup_para_char_frac", dup_para_char_frac, "largest share of characters in repeated paragraphs (0: off)")
      .between(0, 1);
  v("dup_line_frac", dup_line_frac, "largest share of repeated lines (0: off)").between(0, 1);
  v("dup_line_char_frac", dup_line_char_frac, "largest share of characters in repeated lines (0: off)").between(0, 1);
  for (int i = 0; i < 3; ++i) {
    v(kTopNames[i], top_n_gram[i],
      "largest share of characters in the most frequent n-gram of words (0: off; datatrove drops at 0)")
        .between(0, 1);
  }
  for (int i = 0; i < 6; ++i) {
    v(kDuplicatedNames[i], duplicated_n_grams[i],
      "largest share of characters in repeated n-grams of words (0: off; datatrove drops at 0)")
        .between(0, 1);
  }
}

void GopherRepetition::split_parts(Document& document, bool paragraphs) const {
  std::vector<std::string_view>& parts = document.scratch().parts;
  if (paragraphs) {
    split_at_newline_runs(strip(document.text()), 2, parts);
  } else if (semantics == Semantics::kDatatrove2) {
    parts = document.lines();
  } else {
    split_at_newline_runs(semantics == Semantics::kGopherPaper ? strip(document.text()) : document.text(), 1, parts);
  }
}

Verdict GopherRepetition::apply(Document& document, std::vector<Measure>* measures) const {
  Judge judge(measures, document);
  std::string_view text = document.text();
  if (text.empty()) {
    judge.check("empty", 0, 0, true);
    return judge.verdict();
  }
  const double length = document.code_points();
  std::vector<std::string_view>& parts = document.scratch().parts;
  auto duplicates = [&] {
    Counter& counter = document.scratch().counter;
    counter.reset(parts.size());
    Duplicates found;
    for (std::string_view part : parts) {
      Counter::Entry& entry = counter.at(hash_bytes(part.data(), part.size()), 0);
      if (entry.count++ == 0) continue;
      ++found.parts;
      found.code_points += document.code_points(part);
    }
    return found;
  };
  auto over = [&](std::string_view name, double value, double threshold) {
    return threshold != 0 && judge.above(name, value, threshold);
  };

  split_parts(document, true);
  Duplicates paragraphs = duplicates();
  if (over("dup_para_frac", ratio(paragraphs.parts, parts.size()), dup_para_frac)) return judge.verdict();
  if (over("dup_para_char_frac", paragraphs.code_points / length, dup_para_char_frac)) return judge.verdict();

  split_parts(document, false);
  Duplicates lines = duplicates();
  if (over("dup_line_frac", ratio(lines.parts, parts.size()), dup_line_frac)) return judge.verdict();
  if (over("dup_line_char_frac", lines.code_points / length, dup_line_char_frac)) return judge.verdict();

  check_n_grams(document, length, judge);
  return judge.verdict();
}

void GopherRepetition::check_n_grams(Document& document, double length, Judge& judge) const {
  const Words& words = document.words(semantics.splitter());
  if (semantics == Semantics::kGopherPaper) {
    auto over = [&](std::string_view name, std::size_t n, bool only_most_frequent, double threshold) {
      return threshold != 0 &&
             judge.above(name, covered_by_repeated_n_grams(document, words, n, only_most_frequent), threshold);
    };
    for (std::size_t i = 0; i < 3; ++i) {
      if (over(kTopNames[i], 2 + i, true, top_n_gram[i])) return;
    }
    for (std::size_t i = 0; i < 6; ++i) {
      if (over(kDuplicatedNames[i], 5 + i, false, duplicated_n_grams[i])) return;
    }
    return;
  }
  TopNGrams top(document, words);
  for (int i = 0; i < 3; ++i) {
    const double share = top.next() / length;
    if (top_n_gram[i] != 0 && judge.above(kTopNames[i], share, top_n_gram[i])) return;
  }
  DuplicateNGrams duplicated(document, words, 5);
  for (int i = 0; i < 6; ++i) {
    if (duplicated_n_grams[i] == 0) continue;
    const double share = duplicated.code_points(static_cast<std::size_t>(5 + i)) / length;
    if (judge.above(kDuplicatedNames[i], share, duplicated_n_grams[i])) return;
  }
}

void GopherQuality::visit(base::OptionVisitor& v) {
  semantics.visit(v, {"datatrove-0.10", "icu", "datatrove-0.2", "gopher-paper"});
  v("min_doc_words", min_doc_words, "fewest words, marks not counted (0: off)").at_least(0);
  v("max_doc_words", max_doc_words, "most words (0: off)").at_least(0);
  v("min_avg_word_length", min_avg_word_length, "smallest mean word length (0: off)").at_least(0);
  v("max_avg_word_length", max_avg_word_length, "largest mean word length (0: off)").at_least(0);
  v("max_symbol_word_ratio", max_symbol_word_ratio, "most '#', and most ellipses, for each word (0: off)").at_least(0);
  v("max_bullet_lines_ratio", max_bullet_lines_ratio, "largest share of lines that begin with a bullet (0: off)")
      .between(0, 1);
  v("max_ellipsis_lines_ratio", max_ellipsis_lines_ratio, "largest share of lines that end in an ellipsis (0: off)")
      .between(0, 1);
  v("max_non_alpha_words_ratio", max_non_alpha_words_ratio,
    "smallest share of words with a letter (datatrove's name; 0: off)")
      .between(0, 1);
  v("min_stop_words", min_stop_words, "fewest different stop words (datatrove-0.2: occurrences; 0: off)").at_least(0);
  v("stop_words", stop_words, "the stop words, in their case");
}

namespace {

// 0 is no limit.
void check_order(const char* low_name, double low, const char* high_name, double high) {
  if (low > 0 && high > 0 && low > high)
    throw base::UsageError({"no document can have as many and as few", fmt::format("gopher_quality: {}", low_name),
                            fmt::format("{}", low), fmt::format("at most {}, which is {}", high_name, high),
                            "0 turns either off"});
}

}  // namespace

void GopherQuality::prepare() {
  check_order("min_doc_words", static_cast<double>(min_doc_words), "max_doc_words", static_cast<double>(max_doc_words));
  check_order("min_avg_word_length", min_avg_word_length, "max_avg_word_length", max_avg_word_length);
  semantics.prepare();
  stop_hashes_.clear();
  stop_filter_ = 0;
  for (const std::string& word : stop_words) {
    stop_hashes_.push_back(hash_word(word));
    stop_filter_ |= std::uint64_t{1} << (stop_hashes_.back() >> 58);
  }
  std::sort(stop_hashes_.begin(), stop_hashes_.end());
  stop_hashes_.erase(std::unique(stop_hashes_.begin(), stop_hashes_.end()), stop_hashes_.end());
}

// Different stop words among the words, or their occurrences; stops counting at `enough` (0: never).
std::int64_t GopherQuality::count_stop_words(Document& document, std::int64_t enough) const {
  std::vector<std::uint32_t>& seen = document.scratch().numbers;
  seen.assign(stop_hashes_.size(), 0);
  const bool every = semantics == Semantics::kDatatrove2;
  std::int64_t count = 0;
  for (const Word& word : document.words(semantics.splitter()).all()) {
    if (!((stop_filter_ >> (word.hash >> 58)) & 1)) continue;
    auto found = std::lower_bound(stop_hashes_.begin(), stop_hashes_.end(), word.hash);
    if (found == stop_hashes_.end() || *found != word.hash) continue;
    std::uint32_t& once = seen[static_cast<std::size_t>(found - stop_hashes_.begin())];
    if ((once++ == 0 || every) && ++count == enough) break;
  }
  return count;
}

bool GopherQuality::is_bullet(std::string_view line) {
  line = strip_left(line);
  return line.starts_with("•") || line.starts_with("-");
}
bool GopherQuality::ends_in_ellipsis(std::string_view line) {
  line = strip_right(line);
  return line.ends_with("...") || line.ends_with("…");
}

Verdict GopherQuality::apply(Document& document, std::vector<Measure>* measures) const {
  Judge judge(measures, document);
  std::string_view text = document.text();
  const std::vector<Word>& words = document.words(semantics.splitter()).all();
  const bool all_words = semantics == Semantics::kGopherPaper;
  std::uint64_t plain_words = 0, plain_length = 0, alpha_words = 0;
  for (const Word& word : words) {
    bool plain = all_words || (word.flags & Word::kHasNonSymbol);
    plain_words += plain;
    plain_length += plain ? word.code_points : 0;
    alpha_words += word.flags & Word::kHasAlpha;
  }
  const double count = static_cast<double>(words.size()), plain = static_cast<double>(plain_words);
  if (min_doc_words != 0 && judge.below("gopher_short_doc", plain, static_cast<double>(min_doc_words))) {
    return judge.verdict();
  }
  if (max_doc_words != 0 && judge.above("gopher_long_doc", plain, static_cast<double>(max_doc_words))) {
    return judge.verdict();
  }
  double mean = ratio(static_cast<double>(plain_length), plain);
  if (min_avg_word_length != 0 && judge.check("gopher_below_avg_threshold", mean, min_avg_word_length,
                                              plain_words > 0 && mean < min_avg_word_length, Limit::kMin)) {
    return judge.verdict();
  }
  if (max_avg_word_length != 0 && judge.above("gopher_above_avg_threshold", mean, max_avg_word_length)) {
    return judge.verdict();
  }
  if (max_symbol_word_ratio != 0) {
    if (judge.above("gopher_too_many_hashes", ratio(base::count_byte(text, '#'), count), max_symbol_word_ratio)) {
      return judge.verdict();
    }
    std::size_t ellipses = count_three_dots(text) + (document.ascii() ? 0 : count_string(text, "…"));
    if (judge.above("gopher_too_many_ellipsis", ratio(ellipses, count), max_symbol_word_ratio)) return judge.verdict();
  }
  const std::vector<std::string_view>& lines = document.lines();
  std::size_t bullets = 0, ellipses = 0;
  for (std::string_view line : lines) {
    bullets += is_bullet(line);
    ellipses += ends_in_ellipsis(line);
  }
  if (max_bullet_lines_ratio != 0 &&
      judge.above("gopher_too_many_bullets", ratio(bullets, lines.size()), max_bullet_lines_ratio)) {
    return judge.verdict();
  }
  if (max_ellipsis_lines_ratio != 0 &&
      judge.above("gopher_too_many_end_ellipsis", ratio(ellipses, lines.size()), max_ellipsis_lines_ratio)) {
    return judge.verdict();
  }
  if (max_non_alpha_words_ratio != 0 &&
      judge.below("gopher_below_alpha_threshold", ratio(alpha_words, count), max_non_alpha_words_ratio)) {
    return judge.verdict();
  }
  if (min_stop_words != 0) {
    std::int64_t found = count_stop_words(document, judge.wants_all() ? 0 : min_stop_words);
    judge.below("gopher_enough_stop_words", static_cast<double>(found), static_cast<double>(min_stop_words));
  }
  return judge.verdict();
}

}  // namespace curate
