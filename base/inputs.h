// The files that a command reads, and what they are called.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace base {

struct Context;

/// What the words of a command line stand for.
struct FoundInputs {
  std::vector<std::string> files;  ///< each file once, in order; "-" is standard input
  /// What a user should hear: files that were named twice and are read once, files of a folder that are left out.
  std::vector<std::string> notes;
};

/// Files stay, globs become their matches, folders the files of record formats below them, however deep; both sorted
/// bytewise. A file named again, by whatever path or link, is left out. In folders, names that begin with '.' or '_',
/// the metadata that data sets bring along and the output of earlier runs are left out, and links to folders are not
/// followed. A word that gives nothing is a UsageError.
FoundInputs find_inputs(const std::vector<std::string>& words);
/// The files alone; the notes go to `context.err`.
std::vector<std::string> expand_inputs(const std::vector<std::string>& words, const Context& context);
std::vector<std::string> expand_inputs(const std::vector<std::string>& words);

/// What to call each file in ids: its path from the deepest folder that holds all of them, in valid UTF-8; "-" stays.
/// Neither the working directory nor the way the files were named matters.
std::vector<std::string> input_names(const std::vector<std::string>& files);

}  // namespace base
