// A list of words that a page must not have, as C4 uses one.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace curate {

/// Words and phrases, one a line, found as tensorflow_datasets' c4_utils finds them. Immutable.
class BadWords {
 public:
  /// Throws base::Error when the file cannot be read or names nothing.
  explicit BadWords(const std::filesystem::path& file);
  /// Does one of them stand in the lower-cased text, with no word character before it and none behind it? The list
  /// itself is not lower-cased.
  bool found_in(std::string_view text) const;

 private:
  std::string bytes_;
  std::array<std::vector<std::string_view>, 256> by_first_byte_;
};

}  // namespace curate
