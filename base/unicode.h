// UTF-8 and Unicode properties (ICU). "Equal to Python 3.11" means code points assigned in Unicode 14.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace base {

/// Offset of the first byte that is not part of valid UTF-8 (surrogates and overlong forms are not), or npos.
std::size_t find_invalid_utf8(std::string_view text);
/// Decodes the code point at `text[position]` and advances `position`. `text` must be valid UTF-8, position in range.
char32_t next_code_point(std::string_view text, std::size_t& position);
void append_utf8(std::string& text, char32_t code_point);
/// Python's str.isalpha (L*), isdigit-like Nd, str.isspace, and `\w` of Python's re (isalnum or '_').
bool is_alpha(char32_t c);
bool is_decimal_digit(char32_t c);
bool is_number(char32_t c);  ///< N*: \p{N}
bool is_space(char32_t c);
bool is_word_character(char32_t c);
bool is_nonspacing_mark(char32_t c);
/// Python's str.lower(): full mapping ('İ' becomes two code points) with the final-sigma rule.
std::string to_lower(std::string_view text);
std::string to_nfc(std::string_view text);
std::string to_nfd(std::string_view text);

}  // namespace base
