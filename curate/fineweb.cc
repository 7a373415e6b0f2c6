#include "curate/fineweb.h"

#include <algorithm>

#include "base/unicode.h"
#include "curate/judge.h"
#include "curate/lines.h"

namespace curate {
using namespace character;

void FineWeb::visit(base::OptionVisitor& v) {
  semantics.visit(v, {"datatrove-0.10", "datatrove-0.2"});
  v("line_punct_thr", line_punct_thr, "smallest share of lines that end in punctuation");
  v("line_punct_exclude_zero", line_punct_exclude_zero, "keep documents in which no line at all ends in punctuation");
  v("stop_chars", stop_chars, "what a line may end in (default: 150 marks of all scripts; datatrove-0.2: . ' \" ! ?)");
  v("short_line_thr", short_line_thr, "largest share of short lines");
  v("short_line_length", short_line_length, "a line of at most so many characters is short");
  v("char_duplicates_ratio", char_duplicates_ratio, "largest share of characters in repeated lines");
  v("new_line_ratio", new_line_ratio, "most line breaks for each word");
}

bool FineWeb::ends_well(std::string_view line) const {
  if (!stop_chars.empty()) {
    return std::any_of(stop_chars.begin(), stop_chars.end(), [&](const std::string& s) { return line.ends_with(s); });
  }
  if (line.empty()) return false;
  if (semantics == Semantics::kDatatrove2) {
    return std::string_view(".'\"!?").find(line.back()) != std::string_view::npos;
  }
  std::size_t start = line.size() - 1;
  while (start > 0 && (line[start] & 0xC0) == 0x80) --start;
  return English::get().classes(base::next_code_point(line, start)) & kTerminal;
}

Verdict FineWeb::apply(Document& document, std::vector<Measure>* measures) const {
  Judge judge(measures);
  std::vector<std::string_view>& lines = document.scratch().parts;
  lines.clear();
  std::size_t breaks = document.newline_parts().size() - 1;
  for (std::string_view line : document.newline_parts()) {
    if (!strip_left(line).empty()) lines.push_back(line);
  }
  const bool old = semantics == Semantics::kDatatrove2;
  if (lines.empty() && !old) {
    judge.check("empty", 0, 0, true);
    return judge.verdict();
  }
  const std::vector<std::string_view>& all = old ? document.newline_parts() : lines;  // what the first two rules count
  const double count = static_cast<double>(all.size());
  auto above = [&](std::string_view name, double value, double threshold) {
    return judge.check(name, value, threshold, value > threshold || (old && value == threshold));
  };
  std::size_t ended = 0, short_lines = 0, repeated = 0;
  for (std::string_view line : all) ended += ends_well(line);
  double share = ended / count;
  if (judge.check(
          "line_punct_ratio", share, line_punct_thr,
          (share < line_punct_thr || (old && share == line_punct_thr)) && !(share == 0 && line_punct_exclude_zero))) {
    return judge.verdict();
  }
  for (std::string_view line : all) {
    short_lines += static_cast<std::int64_t>(document.code_points(line)) <= short_line_length;
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

}  // namespace curate
