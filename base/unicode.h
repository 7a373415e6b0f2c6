// UTF-8 and Unicode properties (ICU). "Equal to Python 3.11" means code points assigned in Unicode 14; all others have
// no property here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace base {

/// Offset of the first byte that is not part of valid UTF-8 (surrogates and overlong forms are not), or npos.
std::size_t find_invalid_utf8(std::string_view text);

/// `text` with U+FFFD for every byte that is not part of valid UTF-8: file names and messages may hold any.
std::string valid_utf8(std::string_view text);

/// Decodes the code point at `text[position]` (position in range) and advances `position`. Meant for valid UTF-8;
/// anything else gives U+FFFD byte by byte, never a read outside `text`.
inline char32_t next_code_point(std::string_view text, std::size_t& position) {
  auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[position + i])); };
  auto is_tail = [&](std::size_t i) { return (static_cast<unsigned char>(text[position + i]) & 0xC0) == 0x80; };
  const char32_t lead = byte(0);
  const std::size_t left = text.size() - position;
  if (lead < 0x80) {
    ++position;
    return lead;
  }
  char32_t c = 0xFFFD;
  std::size_t length = 1;
  if (lead < 0xE0) {
    if (lead >= 0xC2 && left >= 2 && is_tail(1)) {
      c = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
      length = 2;
    }
  } else if (lead < 0xF0) {
    if (left >= 3 && is_tail(1) && is_tail(2)) {
      char32_t value = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
      if (value >= 0x800 && (value < 0xD800 || value > 0xDFFF)) {
        c = value;
        length = 3;
      }
    }
  } else if (lead < 0xF5 && left >= 4 && is_tail(1) && is_tail(2) && is_tail(3)) {
    char32_t value = (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    if (value >= 0x10000 && value <= 0x10FFFF) {
      c = value;
      length = 4;
    }
  }
  position += length;
  return c;
}

/// Appends a code point; a surrogate or a number above 0x10FFFF becomes U+FFFD.
inline void append_utf8(std::string& text, char32_t c) {
  auto push = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = 0xFFFD;
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | c >> 6), push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | c >> 12), push(0x80 | (c >> 6 & 0x3F)), push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | c >> 18), push(0x80 | (c >> 12 & 0x3F)), push(0x80 | (c >> 6 & 0x3F)), push(0x80 | (c & 0x3F));
  }
}

/// Bits of code_point_properties().
enum CodePointProperty : std::uint8_t {
  kAlpha = 1,            ///< Python's str.isalpha: L*
  kDecimalDigit = 2,     ///< Nd
  kNumber = 4,           ///< N*: \p{N}
  kSpace = 8,            ///< str.isspace, `\s` of Python's re
  kWordCharacter = 16,   ///< `\w` of Python's re: str.isalnum or '_'
  kNonspacingMark = 32,  ///< Mn
  kUppercase = 64,       ///< Lu
  kPunctuation = 128,    ///< P*
};
/// 0x110000 bytes of CodePointProperty bits, made at the first call (thread-safe, milliseconds). A hot loop keeps the
/// pointer; the functions below pay one guard on top of the load.
const std::uint8_t* code_point_properties();

inline bool has_property(char32_t c, std::uint8_t bits) {
  static const std::uint8_t* const kTable = code_point_properties();
  return c < 0x110000 && (kTable[c] & bits) != 0;
}
inline bool is_alpha(char32_t c) { return has_property(c, kAlpha); }
inline bool is_decimal_digit(char32_t c) { return has_property(c, kDecimalDigit); }
inline bool is_number(char32_t c) { return has_property(c, kNumber); }
inline bool is_space(char32_t c) { return has_property(c, kSpace); }
inline bool is_word_character(char32_t c) { return has_property(c, kWordCharacter); }
inline bool is_nonspacing_mark(char32_t c) { return has_property(c, kNonspacingMark); }
inline bool is_uppercase(char32_t c) { return has_property(c, kUppercase); }
inline bool is_punctuation(char32_t c) { return has_property(c, kPunctuation); }

/// Python's str.isupper() and islower() of one character (ICU is asked each time).
bool is_upper_case(char32_t c);
bool is_lower_case(char32_t c);

/// Python's str.lower(): full mapping ('İ' becomes two code points) with the final-sigma rule.
std::string to_lower(std::string_view text);
std::string to_nfc(std::string_view text);
std::string to_nfd(std::string_view text);

}  // namespace base
