// Mends the encoding of a text: normal form C, mojibake, control characters, line ends. Tested by
// tests/curate/steps/unicode_step_test.cc.
#include "curate/steps/unicode_step.h"

#include <algorithm>
#include <cstring>

#include "base/unicode.h"
#include "curate/steps/judge.h"
#include "curate/text/lines.h"

namespace curate {
namespace {

constexpr char32_t kNextLine = 0x85, kByteOrderMark = 0xFEFF;

bool is_c1(char32_t c) { return c >= 0x80 && c < 0xA0; }
bool is_removed(char32_t c) {
  return (c < 0x20 && c != '\t' && c != '\n') || c == 0x7F || is_c1(c) || c == kByteOrderMark ||
         (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
}
// Between lines (form feed, vertical tab, file, group and record separator), where no line end stands already.
bool separates_lines(char32_t c) { return c == '\f' || c == '\v' || (c >= 0x1C && c <= 0x1E); }
bool is_unicode_line_end(char32_t c) { return c == kNextLine || c == 0x2028 || c == 0x2029; }

// Bytes of a terminal's control sequence at the beginning of `text` ("ESC [ 31 m"), or 0.
std::size_t terminal_sequence(std::string_view text) {
  std::size_t i = text.starts_with("\x1B[") || text.starts_with("\xC2\x9B") ? 2 : 0;
  const std::size_t begin = i;
  while (i > 0 && i < text.size() && ((text[i] >= '0' && text[i] <= '9') || text[i] == ';')) ++i;
  // U+009B is also Windows-1252's ›, behind which a letter may stand.
  if (i == 0 || i == text.size() || (text[0] == '\xC2' && i == begin)) return 0;
  return (text[i] >= 'A' && text[i] <= 'Z') || (text[i] >= 'a' && text[i] <= 'z') ? i + 1 : 0;
}

// Bytes of "U+0098 article U+009C" at the beginning of `text`, or 0: libraries mark so what they do not sort by.
std::size_t unsorted_words(std::string_view text) {
  constexpr std::size_t kMost = 40;
  if (!text.starts_with("\xC2\x98")) return 0;
  const std::size_t end = text.substr(0, kMost).find("\xC2\x9C");
  return end == text.npos || text.substr(0, end).find('\n') != text.npos ? 0 : end + 2;
}

bool ends_sentence(std::string_view text) { return !text.empty() && std::strchr(".!?", text.back()) != nullptr; }

}  // namespace

char32_t windows_1252(char32_t c1) {
  static constexpr char32_t kHigh[32] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                         0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                         0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                         0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
  return is_c1(c1) ? kHigh[c1 - 0x80] : 0;
}

ControlCounts mend_controls(std::string& text) {
  ControlCounts counts;
  const std::string_view whole = text;
  auto is_mapped = [](char32_t c) { return c != kNextLine && windows_1252(c) != 0; };
  bool has_mapped = false;
  std::size_t first = whole.size();  // what is to be mended
  for (std::size_t position = 0; position < whole.size();) {
    const std::size_t start = position;
    const char32_t c = base::next_code_point(whole, position);
    if (!is_removed(c) && !is_unicode_line_end(c)) continue;
    first = std::min(first, start);
    if (const std::size_t length =
            std::max(terminal_sequence(whole.substr(start)), unsorted_words(whole.substr(start))))
      position = start + length;
    else
      has_mapped |= is_mapped(c);
  }
  if (first == whole.size()) return counts;
  std::string mended(whole.substr(0, first));
  for (std::size_t position = first; position < whole.size();) {
    const std::size_t start = position;
    const char32_t c = base::next_code_point(whole, position);
    const bool at_line_end =
        mended.empty() || mended.back() == '\n' || position == whole.size() || whole[position] == '\n';
    if (!is_removed(c) && !is_unicode_line_end(c)) {
      mended.append(whole, start, position - start);
    } else if (const std::size_t sequence = terminal_sequence(whole.substr(start))) {
      position = start + sequence;
      ++counts.removed;
    } else if (const std::size_t unsorted = unsorted_words(whole.substr(start))) {
      mended.append(whole, start + 2, unsorted - 4);
      position = start + unsorted;
      counts.removed += 2;
    } else if (windows_1252(c) != 0 && (c != kNextLine || has_mapped)) {
      base::append_utf8(mended, windows_1252(c));
      ++counts.windows_1252;
    } else if (is_unicode_line_end(c)) {
      mended += '\n';
      ++counts.separators;
    } else if (separates_lines(c) && !at_line_end) {
      mended += '\n';
      ++counts.separators;
    } else if (c == 0x1F && !at_line_end && mended.back() != ' ' && whole[position] != ' ') {
      mended += ' ';
      ++counts.separators;
    } else if (c == kByteOrderMark && ends_sentence(mended) && !at_line_end && whole[position] != ' ') {
      mended += '\n';  // two texts were put together here
      ++counts.separators;
    } else {
      ++counts.removed;
    }
  }
  text = std::move(mended);
  return counts;
}

std::size_t unify_line_ends(std::string& text) {
  std::size_t kept = 0, count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '\r') {
      ++count;
      if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
      c = '\n';
    }
    text[kept++] = c;
  }
  text.resize(kept);
  return count;
}

void Unicode::visit(base::OptionVisitor& v) {
  v("nfc", nfc, "put the text into Unicode's normal form C");
  v("mojibake", mojibake, "undo UTF-8 that was read as Windows-1252");
  v("controls", controls,
    "remove control characters, byte order marks and non-characters; those that separate become a line end or a space, "
    "those of Windows-1252 the characters that were meant");
  v("line_ends", line_ends, "make every line end a single line feed");
  v("max_replacement_share", max_replacement_share, "drop texts with a larger share of U+FFFD (0: off)").between(0, 1);
}

Verdict Unicode::apply(Document& document, std::vector<Measure>* measures) const {
  Judge judge(measures, document);
  std::string text(document.text());
  std::size_t line_end_count = line_ends && text.find('\r') != std::string::npos ? unify_line_ends(text) : 0;
  std::size_t mojibake_count = mojibake && !document.ascii() ? repair_mojibake(text) : 0;
  const ControlCounts control_counts = controls ? mend_controls(text) : ControlCounts{};
  bool denormal = false;
  if (nfc && !is_ascii(text)) {
    std::string normal = base::to_nfc(text);
    denormal = normal != text;
    text = std::move(normal);
  }
  auto tell = [&](std::string_view name, std::size_t count) {
    if (count > 0) document.set_count(name, count);
  };
  tell("unicode_mojibake", mojibake_count);
  tell("unicode_controls", control_counts.removed);
  tell("unicode_windows_1252", control_counts.windows_1252);
  tell("unicode_separators", control_counts.separators);
  tell("unicode_line_ends", line_end_count);
  tell("unicode_nfc", denormal);
  if (text != document.text()) document.replace_text(std::move(text));
  if (max_replacement_share != 0) {
    double share = ratio(count_string(document.text(), "\xEF\xBF\xBD"), document.code_points());
    judge.above("unicode_replacement", share, max_replacement_share);
  }
  return judge.verdict();
}

std::vector<Evidence> Unicode::evidence(Document& document, std::string_view measure) const {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  const std::size_t at = document.text().find(kReplacement);
  if (measure != "unicode_replacement" || at == std::string_view::npos) return {};
  return {{"U+FFFD, the first of them here", document.text().substr(at, kReplacement.size()),
           count_string(document.text(), kReplacement), 0}};
}

}  // namespace curate
