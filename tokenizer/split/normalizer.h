// The normalisers of tokenizer.json, with the way back from the new bytes to the old ones.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/encoding.h"
#include "tokenizer/split/character_map.h"
#include "tokenizer/split/pattern.h"

namespace tokenizer {

/// Immutable once made; any thread.
class Normalizer {
 public:
  /// Throws Error for a pattern that is not understood, and for a broken map of characters.
  explicit Normalizer(std::vector<NormalizerStep> steps);
  bool empty() const { return steps_.empty(); }
  /// `text` after all steps. With `origins` (one range for each byte of `text`), they become those of the result's
  /// bytes.
  std::string run(std::string text, std::vector<ByteRange>* origins = nullptr) const {
    return run_with(std::move(text), origins, false);
  }
  /// The same, with origins as the tokenizers package has them where they decide what comes first: of a replaced text
  /// the last character alone, of what a map of characters takes away at the beginning the place.
  std::string run_as_peer(std::string text, std::vector<ByteRange>& origins) const {
    return run_with(std::move(text), &origins, true);
  }

 private:
  std::string run_with(std::string text, std::vector<ByteRange>* origins, bool as_peer) const;
  void run_step(std::size_t i, std::string& text, std::vector<ByteRange>* origins, bool as_peer) const;

  std::vector<NormalizerStep> steps_;
  std::vector<std::unique_ptr<const Pattern>> patterns_;   // of each step; null where it needs none
  std::vector<std::unique_ptr<const CharacterMap>> maps_;  // the same
};

}  // namespace tokenizer
