// A text split into words as datatrove >= 0.4 does for English: the tokens of spaCy's blank("en"), white space dropped.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "curate/text/english.h"
#include "curate/text/words.h"

namespace curate {

/// Words of spaCy's English tokenizer.
class SpacyWords : public Words {
 public:
  /// Splits `text` (valid UTF-8, below 4 GB), which must outlive the use of the words. `base()` is `text`, except for a
  /// quirk of datatrove's: when spaCy stumbles over a token "IS_ALPHA", every "IS_ALPHA" is deleted and the rest split.
  void split(std::string_view text);
  /// White space at the end that is a token to spaCy: anything but a single ' '.
  bool ends_with_space_token() const { return ends_with_space_token_; }

 private:
  class Chunk;
  void split_once(std::string_view text);
  void add(std::uint32_t begin, std::uint32_t bytes, std::uint32_t code_points, std::uint32_t flags,
           std::uint64_t hash);
  void add_special(const SpecialCase& special, std::uint32_t begin);
  std::uint32_t skip_space(std::uint32_t position) const;
  void second_pass();

  const English& english_ = English::get();
  std::string without_;  // base_ when "IS_ALPHA" was deleted
  std::vector<Word> merged_;
  std::uint32_t space_flags_ = 0;  // for the next word that is added
  bool ends_with_space_token_ = false;
  // The chunk that is being cut: classes, code points and byte offsets (one more than code points).
  std::vector<std::uint32_t> classes_, code_points_, offsets_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> suffixes_;
};

/// Sentences of a piece of text from its words, as spaCy's sentencizer counts them. `trailing_space_token`: is there a
/// white-space token behind the last word?
std::size_t count_sentences(std::span<const Word> words, bool trailing_space_token);

}  // namespace curate
