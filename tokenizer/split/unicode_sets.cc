// Sets of characters as the tokenizers package knows them: by older versions of Unicode than the regular expressions.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include "tokenizer/split/unicode_sets.h"

#include <unicode/uniset.h>
#include <unicode/uscript.h>

#include "base/error.h"

namespace tokenizer {
namespace {

icu::UnicodeSet set_of(const char* pattern) {
  UErrorCode status = U_ZERO_ERROR;
  icu::UnicodeSet set(icu::UnicodeString(pattern), status);
  if (U_FAILURE(status)) throw base::Error({"cannot make a set of characters", "", pattern, "", ""});
  set.freeze();
  return set;
}

bool is_in(const icu::UnicodeSet& set, char32_t code) { return set.contains(static_cast<UChar32>(code)); }

}  // namespace

bool is_accent(char32_t code) {
  static const icu::UnicodeSet set = set_of(R"([[[:M:]&[:age=9.0:]][\u1CF2\u1CF3]-[\U000111C9]])");
  return is_in(set, code);
}

bool is_non_spacing_mark(char32_t code) {
  static const icu::UnicodeSet set = set_of(R"([[[:Mn:]&[:age=8.0:]][\u1734]-[\u1885\u1886\uA9BD\U000111C9]])");
  return is_in(set, code);
}

bool is_control_of_bert(char32_t code) {
  static const icu::UnicodeSet set = set_of(R"([[[[:Cc:][:Cf:][:Co:]]&[:age=8.0:]][\uFFFD]-[\t\n\r]])");
  return is_in(set, code);
}

bool is_ideograph_of_bert(char32_t code) {
  return (code >= 0x3400 && code <= 0x4DBF) || (code >= 0x4E00 && code <= 0x9FFF) ||
         (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x20000 && code <= 0x2A6DF) ||
         (code >= 0x2A700 && code <= 0x2B81F) || (code >= 0x2B920 && code <= 0x2CEAF) ||
         (code >= 0x2F800 && code <= 0x2FA1F);
}

bool is_control_of_nmt(char32_t code) {
  return (code >= 0x1 && code <= 0x8) || code == 0xB || (code >= 0xE && code <= 0x1F) || code == 0x7F || code == 0x8F ||
         code == 0x9F;
}

bool is_blank_of_nmt(char32_t code) {
  return code == '\t' || code == '\n' || code == '\f' || code == '\r' || code == 0x1680 ||
         (code >= 0x200B && code <= 0x200F) || code == 0x2028 || code == 0x2029 || code == 0x2581 || code == 0xFEFF ||
         code == 0xFFFD;
}

int script_of(char32_t code) {
  static const icu::UnicodeSet known = set_of("[:age=9.0:]");
  if (code == ' ' || !is_in(known, code)) return kAnyScript;
  if (code == 0x30FC) return USCRIPT_HAN;
  if (code == 0x589 || code == 0x61C) return USCRIPT_COMMON;  // Unicode has changed its mind since
  if (code == 0x953 || code == 0x954) return USCRIPT_DEVANAGARI;
  UErrorCode status = U_ZERO_ERROR;
  const int script = uscript_getScript(static_cast<UChar32>(code), &status);
  if (script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA) return USCRIPT_HAN;
  return script == USCRIPT_UNKNOWN ? kAnyScript : script;
}

}  // namespace tokenizer
