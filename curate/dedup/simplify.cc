// datatrove's text normalisation for near-duplicates. Tested by tests/curate/dedup/minhash_test.cc.
#include "curate/dedup/simplify.h"

#include <set>

#include "base/unicode.h"

namespace curate {
namespace {

// datatrove.utils.text.PUNCTUATION, the full-width digit one included.
bool is_punctuation(char32_t c) {
  static const std::set<char32_t> kPunctuation = [] {
    std::set<char32_t> set;
    for (char32_t p : std::u32string_view(
             U"!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"))
      set.insert(p);
    return set;
  }();
  if (c < 32) return c != 9 && c != 10;
  if (c >= 127 && c < 160) return true;
  return kPunctuation.count(c) > 0;
}

bool is_decimal_separator(char32_t c) {
  return c == '.' || c == ',' || c == 0x60C || c == 0x66B || (c >= 0x2396 && c <= 0x2398);
}

}  // namespace

std::string simplify_text(std::string_view text) {
  const std::string lower = base::to_lower(text);
  std::u32string points;
  for (std::size_t i = 0; i < lower.size();) points.push_back(base::next_code_point(lower, i));
  std::string spaced;
  bool blank = false;
  auto put = [&](char32_t c) {
    if (base::is_space(c) || is_punctuation(c)) {
      blank = true;
      return;
    }
    if (blank && !spaced.empty()) spaced += ' ';
    blank = false;
    base::append_utf8(spaced, c);
  };
  for (std::size_t i = 0; i < points.size();) {
    if (!base::is_decimal_digit(points[i])) {
      put(points[i++]);
      continue;
    }
    auto skip_digits = [&] {
      while (i < points.size() && base::is_decimal_digit(points[i])) ++i;
    };
    skip_digits();
    if (i + 1 < points.size() && is_decimal_separator(points[i]) && base::is_decimal_digit(points[i + 1])) {
      ++i;
      skip_digits();
    }
    put('0');
  }
  const std::string decomposed = base::to_nfd(spaced);
  std::string result;
  for (std::size_t i = 0; i < decomposed.size();) {
    char32_t c = base::next_code_point(decomposed, i);
    if (!base::is_nonspacing_mark(c)) base::append_utf8(result, c);
  }
  // A mark of its own between blanks leaves a blank at an end.
  std::size_t first = result.find_first_not_of(' ');
  if (first == result.npos) return "";
  return result.substr(first, result.find_last_not_of(' ') - first + 1);
}

}  // namespace curate
