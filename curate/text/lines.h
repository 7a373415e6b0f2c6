// Cutting a text into lines and counting in it, with Python's meaning of line and white space.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace curate {

/// Only bytes below 128?
bool is_ascii(std::string_view text);
/// Code points of valid UTF-8.
std::uint32_t count_code_points(std::string_view text);
/// Python's str.strip(), lstrip(), rstrip(): Unicode white space.
std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);
std::string_view strip(std::string_view text);
/// Bytes of the white-space code point that starts at `position`, or 0.
std::size_t space_length(std::string_view text, std::size_t position);

/// str.split("\n").
void split_at_newlines(std::string_view text, std::vector<std::string_view>& parts);
/// re.split("\n{least,}", text).
void split_at_newline_runs(std::string_view text, std::size_t least, std::vector<std::string_view>& parts);
/// str.splitlines(): also at \r, \r\n, \v, \f, \x1c-\x1e, U+0085, U+2028 and U+2029; no empty part at the end.
void split_lines(std::string_view text, std::vector<std::string_view>& parts);

/// str.count of "...": without overlap.
std::size_t count_three_dots(std::string_view text);
/// str.count of a longer string.
std::size_t count_string(std::string_view text, std::string_view part);

/// Is the last character one of datatrove's TERMINAL_PUNCTUATION, 150 marks of all scripts?
bool ends_in_terminal_mark(std::string_view line);

}  // namespace curate
