// What separates the fields of a .csv or .tsv file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace base {

struct Context;

/// The character that `name` means: itself, or a tab for "tab" and "\t"; 0 for "auto". Anything else is a UsageError.
char delimiter_of(const std::string& name);
/// Says so when --delimiter is `name` and none of `files` is a table, so that it changes nothing. No error: a run.yaml
/// is used again with the .jsonl files that its run wrote.
void tell_unused_delimiter(const std::string& name, const std::vector<std::string>& files, const Context& context);

/// The size of a first line "sep=;" with its line end, which spreadsheets write, and the character it names (no letter,
/// no digit); 0 if `text` begins otherwise.
std::size_t separator_line(std::string_view text, char& delimiter);

/// How many bytes find_delimiter wants to see; of a shorter file, all.
inline constexpr std::size_t kDelimiterBytes = 1 << 16;
/// Whichever of , ; tab | splits the first 20 rows of `text` into fields most evenly: `usual` unless another one does
/// it better, and for more than half of them. `is_whole`: the text ends here, so that its last row counts.
char find_delimiter(std::string_view text, bool is_whole, char usual);

}  // namespace base
