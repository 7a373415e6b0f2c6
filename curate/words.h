// A text split into words as datatrove >= 0.4 does for English: the tokens of spaCy's blank("en"), white space dropped.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "curate/english.h"

namespace curate {

/// The words of one text, in order. Buffers are kept from one text to the next.
class Words {
 public:
  /// Splits `text` (valid UTF-8, below 4 GB). The words point into `text`, which must outlive their use.
  void split(std::string_view text);
  /// The words; offsets count from the start of `base()`.
  const std::vector<Word>& all() const { return words_; }
  std::size_t size() const { return words_.size(); }
  std::string_view text(const Word& word) const { return base_.substr(word.offset, word.bytes); }
  /// The split text itself, except for a quirk of datatrove's: when spaCy stumbles over a token "IS_ALPHA", every
  /// "IS_ALPHA" is deleted and the rest is split.
  std::string_view base() const { return base_; }
  /// White space at the end that is a token to spaCy: anything but a single ' '.
  bool ends_with_space_token() const { return ends_with_space_token_; }

 private:
  class Chunk;
  void split_once(std::string_view text);
  void add(std::uint32_t begin, std::uint32_t bytes, std::uint32_t code_points, std::uint32_t flags,
           std::uint64_t hash);
  void add_special(const SpecialCase& special, std::uint32_t begin);
  void split_chunk(std::uint32_t begin, std::uint32_t end, bool ascii);
  void second_pass();

  const English& english_ = English::get();
  std::string_view base_;
  std::string without_;  ///< base_ when "IS_ALPHA" was deleted
  std::vector<Word> words_, merged_;
  std::uint32_t space_flags_ = 0;  ///< for the next word that is added
  bool ends_with_space_token_ = false;
  // The chunk that is being cut: classes, code points and byte offsets (one more than code points).
  std::vector<std::uint32_t> classes_, code_points_, offsets_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> suffixes_;
};

/// Sentences of a piece of text from its words, as spaCy's sentencizer counts them. `leading` and `trailing`: is there
/// a white-space token before the first and behind the last word?
std::size_t count_sentences(std::span<const Word> words, bool trailing_space_token);

}  // namespace curate
