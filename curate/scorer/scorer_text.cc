// What the textbook scorer sees of a document: the same for training and for scoring. Tested by
// tests/curate/train/scorer_test.cc.
#include "curate/scorer/scorer_text.h"

#include "base/unicode.h"
#include "curate/text/lines.h"

namespace curate {
namespace {

constexpr std::size_t kLong = 6000, kTaken = 2500;  // code points

// Byte offset of the code point that is `count` further than `position`.
std::size_t advance(std::string_view text, std::size_t position, std::size_t count) {
  while (count > 0 && position < text.size()) {
    ++position;
    while (position < text.size() && (text[position] & 0xC0) == 0x80) ++position;
    --count;
  }
  return position;
}

}  // namespace

void scorer_text(std::string_view text, std::string& line) {
  line.clear();
  std::size_t length = count_code_points(text);
  std::size_t begin = length > kLong ? advance(text, 0, length / 2) : 0;
  std::string lowered = base::to_lower(text.substr(begin, advance(text, begin, kTaken) - begin));
  bool in_word = false;
  for (std::size_t position = 0; position < lowered.size();) {
    std::size_t start = position;
    char32_t c = base::next_code_point(lowered, position);
    bool is_word = base::is_word_character(c);
    if (!is_word && (base::is_space(c) || c == 0)) {
      in_word = false;
      continue;
    }
    if (!line.empty() && !(in_word && is_word)) line += ' ';
    if (base::is_decimal_digit(c)) {
      line += '0';
    } else {
      line.append(lowered, start, position - start);
    }
    in_word = is_word;
  }
}

}  // namespace curate
