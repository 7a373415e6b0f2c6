// A set of characters of a regular expression: what a class, \p{..} or a single letter stands for. Tested by
// tests/tokenizer/pattern_test.cc.
#include "tokenizer/split/character_set.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <string>

#include "base/text.h"
#include "tokenizer/split/categories.h"

namespace tokenizer {

void SetBuilder::add(const SetBuilder& other) {
  codes.addAll(other.codes);
  invalid |= other.invalid;
}

void SetBuilder::keep(const SetBuilder& other) {
  codes.retainAll(other.codes);
  invalid &= other.invalid;
}

void SetBuilder::negate() {
  codes.complement();
  invalid = !invalid;
}

bool SetBuilder::close_over_case() {
  codes.closeOver(USET_CASE_INSENSITIVE);
  if (!codes.hasStrings()) return true;
  codes.removeAllStrings();
  return false;
}

namespace {

struct Mask {
  std::uint32_t categories;
  icu::UnicodeSet* codes;
};

SetBuilder set_of_categories(std::uint32_t categories) {
  SetBuilder set;
  UErrorCode status = U_ZERO_ERROR;
  set.codes.applyIntPropertyValue(UCHAR_GENERAL_CATEGORY_MASK, static_cast<std::int32_t>(categories), status);
  Mask mask{categories, &set.codes};
  newer_categories(
      [](void* to, char32_t first, char32_t last, std::uint8_t category) {
        const auto* of = static_cast<Mask*>(to);
        const auto begin = static_cast<UChar32>(first), end = static_cast<UChar32>(last);
        U_MASK(category) & of->categories ? of->codes->add(begin, end) : of->codes->remove(begin, end);
      },
      &mask);
  return set;
}

}  // namespace

bool set_of_property(std::string_view name, SetBuilder& set) {
  const std::string text(name);
  const std::int32_t categories = u_getPropertyValueEnum(UCHAR_GENERAL_CATEGORY_MASK, text.c_str());
  if (categories != UCHAR_INVALID_CODE) {
    set = set_of_categories(static_cast<std::uint32_t>(categories));
    return true;
  }
  const std::int32_t script = u_getPropertyValueEnum(UCHAR_SCRIPT, text.c_str());
  if (script == UCHAR_INVALID_CODE) return false;
  UErrorCode status = U_ZERO_ERROR;
  set.codes.applyIntPropertyValue(UCHAR_SCRIPT, script, status);
  if (text == "Han") set.codes.add(0x2FFC, 0x2FFF).add(0x31E4, 0x31E5).add(0x2EBF0, 0x2EE5D);  // since Unicode 15.1
  return U_SUCCESS(status);
}

SetBuilder set_of_white_space() {
  SetBuilder set;
  UErrorCode status = U_ZERO_ERROR;
  set.codes.applyIntPropertyValue(UCHAR_WHITE_SPACE, 1, status);
  return set;
}

SetBuilder set_of_word(WordKind kind) {
  SetBuilder set = set_of_categories(U_GC_L_MASK | U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK);
  UErrorCode status = U_ZERO_ERROR;
  icu::UnicodeSet alphabetic;
  alphabetic.applyIntPropertyValue(UCHAR_ALPHABETIC, 1, status);
  set.codes.addAll(alphabetic);
  if (kind == WordKind::kRust) set.codes.add(0x200C, 0x200D);
  if (kind == WordKind::kOniguruma) set.codes.add(0xB2, 0xB3).add(0xB9).add(0xBC, 0xBE);
  return set;
}

CharacterSet::CharacterSet(const SetBuilder& set) : invalid_(set.invalid) {
  for (std::int32_t i = 0; i < set.codes.getRangeCount(); ++i) {
    const auto first = static_cast<char32_t>(set.codes.getRangeStart(i)),
               last = static_cast<char32_t>(set.codes.getRangeEnd(i));
    for (char32_t c = first; c <= std::min<char32_t>(last, 0xFFFF); ++c) basic_[c >> 6] |= std::uint64_t{1} << (c & 63);
    if (last >= 0x10000) beyond_.emplace_back(std::max<char32_t>(first, 0x10000), last);
  }
}

bool CharacterSet::beyond(char32_t code) const {
  const auto range = std::ranges::lower_bound(beyond_, code, {}, &std::pair<char32_t, char32_t>::second);
  return range != beyond_.end() && code >= range->first;
}

}  // namespace tokenizer
