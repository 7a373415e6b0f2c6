// Small helpers on strings that every folder needs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace base {

/// Splits at every `separator`; "" gives one empty part.
std::vector<std::string> split(std::string_view text, char separator);
/// Without ASCII white space at both ends.
std::string_view trim(std::string_view text);
/// A to Z as a to z, all else as it is.
std::string ascii_lower(std::string_view text);
std::size_t count_byte(std::string_view text, char byte);
/// Does `part`, of at least two bytes, occur? Quick where its first and last bytes are rarely that far apart.
bool contains(std::string_view text, std::string_view part);
std::string join(std::span<const std::string> parts, std::string_view separator);
/// The candidate nearest to `word` by Damerau-Levenshtein distance, or "" when none is near: a third of the word's
/// letters may differ, at least 1 but never all of them.
std::string nearest(std::string_view word, std::span<const std::string> candidates);
/// A line of help, or more where it does not fit into 80 columns: `left`, then `right` in a column of its own.
std::string help_entry(std::string_view left, std::string_view right, std::size_t left_width = 28);
/// "1.5 GB" (powers of 1000); "12,345"; "1 h 02 min", "3.2 s".
std::string human_bytes(double bytes);
std::string human_count(std::uint64_t count);
std::string human_seconds(double seconds);
/// At most `limit` bytes for an error message, cut at a UTF-8 boundary, control characters escaped.
std::string shortened(std::string_view text, std::size_t limit = 80);
/// The most frequent of some counts, each as `tell` words it: "a (3), b (2), ...", equally frequent ones in the order
/// given; the dots stand for those beyond `most`.
using NamedCounts = std::vector<std::pair<std::string, std::uint64_t>>;
std::string most_frequent(NamedCounts counts, std::size_t most,
                          const std::function<std::string(const std::string& name, std::uint64_t count)>& tell);
/// As one word of a shell command, in quotes where it needs them.
std::string shell_word(const std::string& word);
/// Appends `text` (valid UTF-8) as a JSON string with its quotes; only what JSON demands is escaped.
void append_json_string(std::string& json, std::string_view text);

}  // namespace base
