// The general category of each code point, as the regular expressions of the tokenizers package and tiktoken know it.
// Tested by tests/tokenizer/pattern_test.cc.
#include "tokenizer/split/categories.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <iterator>

namespace tokenizer {
namespace {

constexpr std::uint8_t kUpper = U_UPPERCASE_LETTER, kLower = U_LOWERCASE_LETTER, kModifier = U_MODIFIER_LETTER,
                       kLetter = U_OTHER_LETTER, kMark = U_NON_SPACING_MARK, kSpacing = U_COMBINING_SPACING_MARK,
                       kDigit = U_DECIMAL_DIGIT_NUMBER, kPunctuation = U_OTHER_PUNCTUATION, kDash = U_DASH_PUNCTUATION,
                       kMath = U_MATH_SYMBOL, kSymbol = U_OTHER_SYMBOL;

// What Unicode 15.1 and 16 assigned, which Debian's ICU 72 does not know yet, and one mark that they changed. In order.
struct Range {
  char32_t first, last;
  std::uint8_t category;
};
constexpr Range kNewer[] = {{0x897, 0x897, kMark},
                            {0x1B4E, 0x1B4F, kPunctuation},
                            {0x1B7F, 0x1B7F, kPunctuation},
                            {0x1C89, 0x1C89, kUpper},
                            {0x1C8A, 0x1C8A, kLower},
                            {0x2427, 0x2429, kSymbol},
                            {0x2FFC, 0x2FFF, kSymbol},
                            {0x31E4, 0x31E5, kSymbol},
                            {0x31EF, 0x31EF, kSymbol},
                            {0xA7CB, 0xA7CC, kUpper},
                            {0xA7CD, 0xA7CD, kLower},
                            {0xA7DA, 0xA7DA, kUpper},
                            {0xA7DB, 0xA7DB, kLower},
                            {0xA7DC, 0xA7DC, kUpper},
                            {0x105C0, 0x105F3, kLetter},
                            {0x10D40, 0x10D49, kDigit},
                            {0x10D4A, 0x10D4D, kLetter},
                            {0x10D4E, 0x10D4E, kModifier},
                            {0x10D4F, 0x10D4F, kLetter},
                            {0x10D50, 0x10D65, kUpper},
                            {0x10D69, 0x10D6D, kMark},
                            {0x10D6E, 0x10D6E, kDash},
                            {0x10D6F, 0x10D6F, kModifier},
                            {0x10D70, 0x10D85, kLower},
                            {0x10D8E, 0x10D8F, kMath},
                            {0x10EC2, 0x10EC4, kLetter},
                            {0x10EFC, 0x10EFC, kMark},
                            {0x11380, 0x11389, kLetter},
                            {0x1138B, 0x1138B, kLetter},
                            {0x1138E, 0x1138E, kLetter},
                            {0x11390, 0x113B5, kLetter},
                            {0x113B7, 0x113B7, kLetter},
                            {0x113B8, 0x113BA, kSpacing},
                            {0x113BB, 0x113C0, kMark},
                            {0x113C2, 0x113C2, kSpacing},
                            {0x113C5, 0x113C5, kSpacing},
                            {0x113C7, 0x113CA, kSpacing},
                            {0x113CC, 0x113CD, kSpacing},
                            {0x113CE, 0x113CE, kMark},
                            {0x113CF, 0x113CF, kSpacing},
                            {0x113D0, 0x113D0, kMark},
                            {0x113D1, 0x113D1, kLetter},
                            {0x113D2, 0x113D2, kMark},
                            {0x113D3, 0x113D3, kLetter},
                            {0x113D4, 0x113D5, kPunctuation},
                            {0x113D7, 0x113D8, kPunctuation},
                            {0x113E1, 0x113E2, kMark},
                            {0x116D0, 0x116E3, kDigit},
                            {0x1171E, 0x1171E, kSpacing},
                            {0x11BC0, 0x11BE0, kLetter},
                            {0x11BE1, 0x11BE1, kPunctuation},
                            {0x11BF0, 0x11BF9, kDigit},
                            {0x11F5A, 0x11F5A, kMark},
                            {0x13460, 0x143FA, kLetter},
                            {0x16100, 0x1611D, kLetter},
                            {0x1611E, 0x16129, kMark},
                            {0x1612A, 0x1612C, kSpacing},
                            {0x1612D, 0x1612F, kMark},
                            {0x16130, 0x16139, kDigit},
                            {0x16D40, 0x16D42, kModifier},
                            {0x16D43, 0x16D6A, kLetter},
                            {0x16D6B, 0x16D6C, kModifier},
                            {0x16D6D, 0x16D6F, kPunctuation},
                            {0x16D70, 0x16D79, kDigit},
                            {0x18CFF, 0x18CFF, kLetter},
                            {0x1CC00, 0x1CCEF, kSymbol},
                            {0x1CCF0, 0x1CCF9, kDigit},
                            {0x1CD00, 0x1CEB3, kSymbol},
                            {0x1E5D0, 0x1E5ED, kLetter},
                            {0x1E5EE, 0x1E5EF, kMark},
                            {0x1E5F0, 0x1E5F0, kLetter},
                            {0x1E5F1, 0x1E5FA, kDigit},
                            {0x1E5FF, 0x1E5FF, kPunctuation},
                            {0x1F8B2, 0x1F8BB, kSymbol},
                            {0x1F8C0, 0x1F8C1, kSymbol},
                            {0x1FA89, 0x1FA89, kSymbol},
                            {0x1FA8F, 0x1FA8F, kSymbol},
                            {0x1FABE, 0x1FABE, kSymbol},
                            {0x1FAC6, 0x1FAC6, kSymbol},
                            {0x1FADC, 0x1FADC, kSymbol},
                            {0x1FADF, 0x1FADF, kSymbol},
                            {0x1FAE9, 0x1FAE9, kSymbol},
                            {0x1FBCB, 0x1FBEF, kSymbol},
                            {0x2EBF0, 0x2EE5D, kLetter}};

}  // namespace

std::uint8_t category_of(char32_t code) {
  const auto range = std::ranges::lower_bound(kNewer, code, {}, &Range::last);
  if (range != std::end(kNewer) && code >= range->first) return range->category;
  return static_cast<std::uint8_t>(u_charType(static_cast<UChar32>(code)));
}

void newer_categories(void (*tell)(void*, char32_t, char32_t, std::uint8_t), void* to) {
  for (const Range& range : kNewer) tell(to, range.first, range.last, range.category);
}

}  // namespace tokenizer
