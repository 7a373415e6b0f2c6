#include "curate/unicode_step.h"

#include <algorithm>

#include "base/unicode.h"
#include "curate/judge.h"
#include "curate/lines.h"

namespace curate {
namespace {

/// The byte that Windows-1252 shows as `c` (where it defines none: the C1 control, as browsers do), or -1.
int windows_byte(char32_t c) {
  if ((c >= 0xA0 && c <= 0xFF) || (c >= 0x80 && c <= 0x9F)) return static_cast<int>(c);
  static constexpr char32_t kHigh[32] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                         0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                         0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                         0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
  for (int i = 0; i < 32; ++i) {
    if (kHigh[i] != 0 && kHigh[i] == c) return 0x80 + i;
  }
  return -1;
}

/// Would a writer rather have meant this than the sequence that it was read as?
bool is_plausible(char32_t c) {
  return (c >= 0xA0 && c <= 0x24F && c != 0xAD) ||  // Latin letters and signs
         (c >= 0x370 && c <= 0x52F) ||              // Greek, Cyrillic
         (c >= 0x5D0 && c <= 0x6FF) ||              // Hebrew, Arabic
         (c >= 0x900 && c <= 0xDFF) ||              // Indic scripts
         (c >= 0x2010 && c <= 0x2044) ||            // punctuation
         (c >= 0x20A0 && c <= 0x20BF) || (c >= 0x2100 && c <= 0x22FF) || (c >= 0x2500 && c <= 0x27BF) ||
         (c >= 0x3000 && c <= 0x30FF) || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xFB00 && c <= 0xFB06) || (c >= 0x1F300 && c <= 0x1FAFF);
}

std::size_t repair_once(std::string& text) {
  // Every lead byte (C2..F4) is shown as a letter U+00C2..U+00F4, which is C3 8x..Bx in UTF-8.
  if (text.find('\xC3') == std::string::npos) return 0;
  std::string repaired;
  std::size_t count = 0, copied = 0;
  for (std::size_t at = text.find('\xC3'); at != std::string::npos; at = text.find('\xC3', at)) {
    std::size_t position = at;
    int lead = windows_byte(base::next_code_point(text, position));
    int more = lead >= 0xC2 && lead <= 0xDF   ? 1
               : lead >= 0xE0 && lead <= 0xEF ? 2
               : lead >= 0xF0 && lead <= 0xF4 ? 3
                                              : 0;
    std::string bytes(1, static_cast<char>(lead));
    for (; more > 0 && position < text.size(); --more) {
      int byte = windows_byte(base::next_code_point(text, position));
      if (byte < 0x80 || byte > 0xBF) break;
      bytes += static_cast<char>(byte);
    }
    std::size_t start = 0;
    if (bytes.size() < 2 || more > 0 || base::find_invalid_utf8(bytes) != std::string_view::npos ||
        !is_plausible(base::next_code_point(bytes, start))) {
      ++at;
      continue;
    }
    repaired.append(text, copied, at - copied);
    repaired += bytes;
    copied = at = position;
    ++count;
  }
  if (count > 0) text = repaired.append(text, copied);
  return count;
}

}  // namespace

std::size_t repair_mojibake(std::string& text) {
  std::size_t total = 0;
  for (int round = 0; round < 3; ++round) {
    std::size_t count = repair_once(text);
    if (count == 0) break;
    total += count;
  }
  return total;
}

std::size_t remove_controls(std::string& text) {
  std::size_t kept = 0, removed = 0;
  for (std::size_t position = 0; position < text.size();) {
    std::size_t start = position;
    char32_t c = base::next_code_point(text, position);
    bool control = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0) || c == 0xFEFF ||
                   (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
    if (control) {
      ++removed;
      continue;
    }
    if (kept != start)
      std::copy(text.begin() + static_cast<std::ptrdiff_t>(start), text.begin() + static_cast<std::ptrdiff_t>(position),
                text.begin() + static_cast<std::ptrdiff_t>(kept));
    kept += position - start;
  }
  text.resize(kept);
  return removed;
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
  v("controls", controls, "remove control characters, byte order marks and non-characters");
  v("line_ends", line_ends, "make every line end a single line feed");
  v("max_replacement_share", max_replacement_share, "drop texts with a larger share of U+FFFD (0: off)").between(0, 1);
}

Verdict Unicode::apply(Document& document, std::vector<Measure>* measures) const {
  Judge judge(measures, document);
  std::string text(document.text());
  std::size_t line_end_count = line_ends && text.find('\r') != std::string::npos ? unify_line_ends(text) : 0;
  std::size_t mojibake_count = mojibake && !document.ascii() ? repair_mojibake(text) : 0;
  std::size_t control_count = controls ? remove_controls(text) : 0;
  bool denormal = false;
  if (nfc && !is_ascii(text)) {
    std::string normal = base::to_nfc(text);
    denormal = normal != text;
    text = std::move(normal);
  }
  auto tell = [&](std::string_view name, std::size_t count) {
    if (count > 0) document.set_score(name, static_cast<double>(count));
  };
  tell("unicode_mojibake", mojibake_count);
  tell("unicode_controls", control_count);
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
