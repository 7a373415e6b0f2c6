// FineWeb's own quality rules (Penedo et al. 2024) as datatrove decides them. Tested by
// tests/curate/steps/rules_test.cc and tests/curate/presets_test.cc.
#include "curate/steps/fineweb.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/unicode.h"
#include "curate/steps/judge.h"
#include "curate/text/lines.h"

namespace curate {
using namespace character;

void FineWeb::visit(base::OptionVisitor& v) {
  semantics.visit(v, {"datatrove-0.10", "icu", "datatrove-0.2"});
  v("line_punct_thr", line_punct_thr, "smallest share of lines that end in punctuation").between(0, 1);
  v("line_punct_exclude_zero", line_punct_exclude_zero, "keep documents in which no line at all ends in punctuation");
  v("stop_chars", stop_chars, "what a line may end in (default: 150 marks of all scripts; datatrove-0.2: . ' \" ! ?)");
  v("short_line_thr", short_line_thr, "largest share of short lines").between(0, 1);
  v("short_line_length", short_line_length, "a line of at most so many characters is short").at_least(0);
  v("char_duplicates_ratio", char_duplicates_ratio, "largest share of characters in repeated lines").between(0, 1);
  v("new_line_ratio", new_line_ratio, "most line breaks for each word").at_least(0);
}

bool FineWeb::ends_well(std::string_view line) const {
  if (!stop_chars.empty()) {
    return std::any_of(stop_chars.begin(), stop_chars.end(), [&](const std::string& s) { return line.ends_with(s); });
  }
  if (line.empty()) return false;
  if (semantics == Semantics::kDatatrove2) {
    return std::string_view(".'\"!?").find(line.back()) != std::string_view::npos;
  }
  return ends_in_terminal_mark(line);
}

bool FineWeb::is_short(Document& document, std::string_view line) const {
  return static_cast<std::int64_t>(document.code_points(line)) <= short_line_length;
}

void FineWeb::find_lines(Document& document) {
  std::vector<std::string_view>& lines = document.scratch().parts;
  lines.clear();
  for (std::string_view line : document.newline_parts()) {
    if (!strip_left(line).empty()) lines.push_back(line);
  }
}

Verdict FineWeb::apply(Document& document, std::vector<Measure>* measures) const {
  Judge judge(measures, document);
  std::vector<std::string_view>& lines = document.scratch().parts;
  find_lines(document);
  std::size_t breaks = document.newline_parts().size() - 1;
  const bool old = semantics == Semantics::kDatatrove2;
  if (lines.empty() && !old) {
    judge.check("empty", 0, 0, true);
    return judge.verdict();
  }
  const std::vector<std::string_view>& all = old ? document.newline_parts() : lines;  // what the first two rules count
  const double count = static_cast<double>(all.size());
  auto above = [&](std::string_view name, double value, double threshold) {
    return judge.check(name, value, threshold, value > threshold || (old && value == threshold), Limit::kMax);
  };
  std::size_t ended = 0, short_lines = 0, repeated = 0;
  for (std::string_view line : all) ended += ends_well(line);
  double share = ended / count;
  if (judge.check(
          "line_punct_ratio", share, line_punct_thr,
          (share < line_punct_thr || (old && share == line_punct_thr)) && !(share == 0 && line_punct_exclude_zero),
          Limit::kMin)) {
    return judge.verdict();
  }
  for (std::string_view line : all) {
    short_lines += is_short(document, line);
  }
  if (above("short_line_ratio", short_lines / count, short_line_thr)) return judge.verdict();

  Counter& counter = document.scratch().counter;
  counter.reset(lines.size());
  for (std::string_view line : lines) {
    if (counter.at(hash_bytes(line.data(), line.size()), 0).count++ > 0) repeated += document.code_points(line);
  }
  double length = static_cast<double>(document.code_points() - breaks);
  if (above("char_dup_ratio", ratio(repeated, length), char_duplicates_ratio)) return judge.verdict();
  judge.above("list_ratio", ratio(breaks, document.word_count(semantics.splitter())), new_line_ratio);
  return judge.verdict();
}

std::vector<Evidence> FineWeb::evidence(Document& document, std::string_view measure) const {
  std::vector<Evidence> result;
  find_lines(document);
  const std::vector<std::string_view>& lines =
      semantics == Semantics::kDatatrove2 ? document.newline_parts() : document.scratch().parts;
  if (measure == "line_punct_ratio") {
    for (std::string_view line : lines)
      if (!ends_well(line)) result.push_back({"ends without punctuation", line});
  } else if (measure == "short_line_ratio") {
    for (std::string_view line : lines)
      if (is_short(document, line)) result.push_back({"is short", line, 1, document.code_points(line)});
  } else if (measure == "char_dup_ratio") {
    std::map<std::string_view, Evidence> repeated;
    for (std::string_view line : document.scratch().parts) {
      auto [found, first] =
          repeated.try_emplace(line, Evidence{"a line that was there before", line, 0, document.code_points(line)});
      if (!first) ++found->second.times;
    }
    for (auto& [line, one] : repeated)
      if (one.times > 0) result.push_back(std::move(one));
    std::stable_sort(result.begin(), result.end(), [](const Evidence& a, const Evidence& b) {
      return a.times * a.characters > b.times * b.characters;
    });
  } else if (measure == "list_ratio") {
    result.push_back({fmt::format("{} line breaks, {} words", document.newline_parts().size() - 1,
                                  document.word_count(semantics.splitter())),
                      {}});
  }
  return result;
}

}  // namespace curate
