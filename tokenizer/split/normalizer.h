// The normalisers of tokenizer.json, with the way back from the new bytes to the old ones.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/encoding.h"
#include "tokenizer/split/pattern.h"

namespace tokenizer {

/// Immutable once made; any thread.
class Normalizer {
 public:
  /// Throws Error for a pattern that is not understood.
  explicit Normalizer(std::vector<NormalizerStep> steps);
  bool empty() const { return steps_.empty(); }
  /// `text` after all steps. With `origins` (one range for each byte of `text`), they become those of the result's
  /// bytes.
  std::string run(std::string text, std::vector<ByteRange>* origins = nullptr) const;

 private:
  std::vector<NormalizerStep> steps_;
  std::vector<std::unique_ptr<const Pattern>> patterns_;  // of each step; null where it needs none
};

}  // namespace tokenizer
