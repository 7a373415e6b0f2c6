// A list of words that a page must not have, as C4 uses one. Tested by tests/curate/presets_test.cc.
#include "curate/steps/bad_words.h"

#include "base/error.h"
#include "base/file.h"
#include "base/unicode.h"
#include "curate/text/lines.h"

namespace curate {

BadWords::BadWords(const std::filesystem::path& file) : bytes_(base::read_file(file)) {
  std::vector<std::string_view> lines;
  split_lines(bytes_, lines);
  bool any = false;
  for (std::string_view line : lines) {
    const std::string_view word = strip(line);
    if (word.empty()) continue;
    by_first_byte_[static_cast<unsigned char>(word[0])].push_back(word);
    any = true;
  }
  if (!any)
    throw base::Error({"the list names no word", "c4.bad_words", file.string(), "one word or phrase a line", ""});
}

bool BadWords::found_in(std::string_view text) const {
  const std::string lower = base::to_lower(text);
  auto is_outside_words = [&](std::size_t position) {
    return position == lower.size() || !base::is_word_character(base::next_code_point(lower, position));
  };
  bool may_begin = true;
  for (std::size_t position = 0; position < lower.size();) {
    if (may_begin) {
      for (std::string_view word : by_first_byte_[static_cast<unsigned char>(lower[position])]) {
        if (std::string_view(lower).substr(position).starts_with(word) && is_outside_words(position + word.size())) {
          return true;
        }
      }
    }
    may_begin = !base::is_word_character(base::next_code_point(lower, position));
  }
  return false;
}

}  // namespace curate
