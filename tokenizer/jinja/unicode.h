// What Python's str methods know about characters.
#pragma once

#include <string>
#include <string_view>

namespace tokenizer::jinja {

/// Without Python's white space (Unicode's) at an end.
std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);
/// Without the characters in `characters` at an end.
std::string_view strip_left(std::string_view text, std::string_view characters);
std::string_view strip_right(std::string_view text, std::string_view characters);

std::string upper_case(std::string_view text);
std::string lower_case(std::string_view text);
std::string title_case(std::string_view text);
std::string swapped_case(std::string_view text);
std::string capitalized(std::string_view text);
std::string folded_case(std::string_view text);

bool is_printable(char32_t c);
/// str.isalnum() and its kind: is the text not empty, and has each character the property?
enum class Property { kAlphanumeric, kAlphabetic, kDecimal, kDigit, kNumeric, kSpace, kPrintable };
bool all_have(std::string_view text, Property property);
/// Is there a cased character, and are all cased ones of this case?
bool is_lower(std::string_view text);
bool is_upper(std::string_view text);
bool is_title(std::string_view text);
bool is_identifier(std::string_view text);
/// A line of str.splitlines() ends at `at`: the length of its line end, else 0.
std::size_t line_end_size(std::string_view text, std::size_t at);

}  // namespace tokenizer::jinja
