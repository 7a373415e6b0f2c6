// The golden files of curate, and words in the form that they have there.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "curate/text/words.h"

/// tests/golden/curate/NAME.
inline nlohmann::json golden(const std::string& name) {
  return nlohmann::json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/curate/" + name));
}

/// The words that a splitter (curate::SpacyWords, curate::NltkWords) finds.
template <class Splitter>
std::vector<std::string> split_words(std::string_view text) {
  Splitter words;
  words.split(text);
  std::vector<std::string> result;
  for (const curate::Word& word : words.all()) result.emplace_back(words.text(word));
  return result;
}
