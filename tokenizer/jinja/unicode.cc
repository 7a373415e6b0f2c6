// What Python's str methods know about characters. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/unicode.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>

#include <unordered_map>

#include "base/unicode.h"
#include "tokenizer/jinja/value.h"

namespace tokenizer::jinja {

namespace {

std::size_t previous(std::string_view text, std::size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

template <class Drop>
std::string_view strip_left_if(std::string_view text, Drop drop) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t next = at;
    if (!drop(base::next_code_point(text, next))) break;
    at = next;
  }
  return text.substr(at);
}
template <class Drop>
std::string_view strip_right_if(std::string_view text, Drop drop) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t begin = previous(text, end);
    std::size_t at = begin;
    if (!drop(base::next_code_point(text, at))) break;
    end = begin;
  }
  return text.substr(0, end);
}

bool space(char32_t c) { return c < 0x80 ? (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) : base::is_space(c); }

auto one_of(std::string_view characters) {
  return [characters](char32_t c) {
    if (c < 0x80) return characters.find(static_cast<char>(c)) != characters.npos;
    std::string wanted;
    base::append_utf8(wanted, c);
    return characters.find(wanted) != characters.npos;
  };
}

bool has(char32_t c, UProperty property) { return u_hasBinaryProperty(static_cast<UChar32>(c), property) != 0; }

void append_upper(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    return;
  }
  UChar from[2], to[8];
  std::int32_t size = 0;
  U16_APPEND_UNSAFE(from, size, c);
  UErrorCode error = U_ZERO_ERROR;
  const std::int32_t upper_size = u_strToUpper(to, 8, from, size, "", &error);
  for (std::int32_t at = 0; at < upper_size;) {
    UChar32 upper = 0;
    U16_NEXT(to, at, upper_size, upper);
    base::append_utf8(text, static_cast<char32_t>(upper));
  }
}
// Few characters have a title case of several ("Ss"): these are asked for once, which takes ICU long.
void append_title(std::string& text, char32_t c) {
  std::string upper;
  append_upper(upper, c);
  std::size_t first = 0;
  if (base::next_code_point(upper, first), first == upper.size()) {
    base::append_utf8(text, static_cast<char32_t>(u_totitle(static_cast<UChar32>(c))));
    return;
  }
  static thread_local std::unordered_map<char32_t, std::string> known;
  std::string& title = known[c];
  if (title.empty())
    icu::UnicodeString(static_cast<UChar32>(c)).toTitle(nullptr, icu::Locale::getRoot()).toUTF8String(title);
  text += title;
}
// The lower case of a text, asked for character by character: a final sigma depends on its neighbours.
class LowerCase {
 public:
  explicit LowerCase(std::string_view text) : whole_(base::to_lower(text)) {}
  // To be called for every character in turn.
  std::string_view next(std::string_view character) {
    const std::size_t size = character.size() == 1 ? 1 : base::to_lower(character).size();
    const std::string_view result = std::string_view(whole_).substr(at_, size);
    at_ += size;
    return result;
  }

 private:
  std::string whole_;
  std::size_t at_ = 0;
};

template <class Append>
std::string mapped(std::string_view text, Append append) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = base::next_code_point(text, at);
    append(result, c, begin, at);
  }
  return result;
}

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
// map(c, whether a letter stands before it)
template <class Map>
std::string ascii_mapped(std::string_view text, Map map) {
  std::string result(text);
  bool in_word = false;
  for (char& c : result) {
    c = map(c, in_word);
    in_word = upper(c) != lower(c);
  }
  return result;
}

}  // namespace

std::string_view strip_left(std::string_view text) { return strip_left_if(text, space); }
std::string_view strip_right(std::string_view text) { return strip_right_if(text, space); }
std::string_view strip_left(std::string_view text, std::string_view characters) {
  return strip_left_if(text, one_of(characters));
}
std::string_view strip_right(std::string_view text, std::string_view characters) {
  return strip_right_if(text, one_of(characters));
}

std::string upper_case(std::string_view text) {
  if (is_ascii(text)) return ascii_mapped(text, [](char c, bool) { return upper(c); });
  return mapped(text, [](std::string& result, char32_t c, std::size_t, std::size_t) { append_upper(result, c); });
}
std::string lower_case(std::string_view text) {
  if (is_ascii(text)) return ascii_mapped(text, [](char c, bool) { return lower(c); });
  return base::to_lower(text);
}

std::string capitalized(std::string_view text) {
  std::string result;
  if (text.empty()) return result;
  if (is_ascii(text)) return upper(text[0]) + ascii_mapped(text.substr(1), [](char c, bool) { return lower(c); });
  std::size_t at = 0;
  append_title(result, base::next_code_point(text, at));
  const std::string lower = base::to_lower(text);
  const std::string first = base::to_lower(text.substr(0, at));
  return result + lower.substr(first.size());
}

std::string title_case(std::string_view text) {
  if (is_ascii(text)) return ascii_mapped(text, [](char c, bool in_word) { return in_word ? lower(c) : upper(c); });
  bool in_word = false;
  LowerCase lower(text);
  return mapped(text, [&](std::string& result, char32_t c, std::size_t begin, std::size_t end) {
    const std::string_view lowered = lower.next(text.substr(begin, end - begin));
    if (in_word)
      result += lowered;
    else
      append_title(result, c);
    in_word = has(c, UCHAR_CASED);
  });
}

std::string swapped_case(std::string_view text) {
  LowerCase lower(text);
  return mapped(text, [&](std::string& result, char32_t c, std::size_t begin, std::size_t end) {
    const std::string_view lowered = lower.next(text.substr(begin, end - begin));
    if (has(c, UCHAR_UPPERCASE))
      result += lowered;
    else if (has(c, UCHAR_LOWERCASE))
      append_upper(result, c);
    else
      result += text.substr(begin, end - begin);
  });
}

std::string folded_case(std::string_view text) {
  std::string result;
  icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())))
      .foldCase()
      .toUTF8String(result);
  return result;
}

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  const auto category = U_MASK(u_charType(static_cast<UChar32>(c)));
  return (category & (U_GC_C_MASK | U_GC_Z_MASK)) == 0;
}

namespace {

bool has_property(char32_t c, Property property) {
  const auto numeric_type = [&] { return u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE); };
  switch (property) {
    case Property::kAlphabetic:
      return base::is_alpha(c);
    case Property::kDecimal:
      return base::is_decimal_digit(c);
    case Property::kDigit:
      return numeric_type() == U_NT_DECIMAL || numeric_type() == U_NT_DIGIT;
    case Property::kNumeric:
      return numeric_type() != U_NT_NONE;
    case Property::kAlphanumeric:
      return base::is_alpha(c) || numeric_type() != U_NT_NONE;
    case Property::kSpace:
      return space(c);
    case Property::kPrintable:
      return is_printable(c);
  }
  return false;
}

// Of one case only: `wanted`, and no character that has `other` or is in title case.
bool is_of_case(std::string_view text, UProperty wanted, UProperty other) {
  bool cased = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = base::next_code_point(text, at);
    if (has(c, other) || u_charType(static_cast<UChar32>(c)) == U_TITLECASE_LETTER) return false;
    cased |= has(c, wanted);
  }
  return cased;
}

}  // namespace

bool all_have(std::string_view text, Property property) {
  if (text.empty()) return property == Property::kPrintable;
  for (std::size_t at = 0; at < text.size();)
    if (!has_property(base::next_code_point(text, at), property)) return false;
  return true;
}

bool is_lower(std::string_view text) { return is_of_case(text, UCHAR_LOWERCASE, UCHAR_UPPERCASE); }
bool is_upper(std::string_view text) { return is_of_case(text, UCHAR_UPPERCASE, UCHAR_LOWERCASE); }

bool is_title(std::string_view text) {
  bool in_word = false, cased = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = base::next_code_point(text, at);
    const bool upper = has(c, UCHAR_UPPERCASE) || u_charType(static_cast<UChar32>(c)) == U_TITLECASE_LETTER;
    const bool lower = has(c, UCHAR_LOWERCASE);
    if ((upper && in_word) || (lower && !in_word)) return false;
    in_word = upper || lower;
    cased |= in_word;
  }
  return cased;
}

bool is_identifier(std::string_view text) {
  if (text.empty()) return false;
  for (std::size_t at = 0; at < text.size();) {
    const bool first = at == 0;
    const char32_t c = base::next_code_point(text, at);
    if (c != '_' && !has(c, first ? UCHAR_XID_START : UCHAR_XID_CONTINUE)) return false;
  }
  return true;
}

std::size_t line_end_size(std::string_view text, std::size_t at) {
  std::size_t end = at;
  const char32_t c = base::next_code_point(text, end);
  if (c == '\r' && text.substr(end).starts_with('\n')) return 2;
  const bool ends = (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
  return ends ? end - at : 0;
}

}  // namespace tokenizer::jinja
