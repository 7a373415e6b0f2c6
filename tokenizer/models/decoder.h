// The decoders of tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/spec/decoder_step.h"
#include "tokenizer/split/normalizer.h"

namespace tokenizer {

/// Immutable once made; any thread. Bytes that are no UTF-8 are kept, where the tokenizers package writes U+FFFD.
class Decoder {
 public:
  /// Throws Error for a pattern that is not understood.
  explicit Decoder(std::vector<DecoderStep> steps);
  /// The text of tokens with these texts. Without a step they are joined by blanks.
  std::string run(std::vector<std::string> texts) const;
  /// Whether what it gives for some texts is the beginning of what it gives for more, and what comes on top depends on
  /// the last text, the one before and the first ones alone.
  bool goes_forward() const;

 private:
  void run_step(std::size_t i, std::vector<std::string>& texts) const;

  std::vector<DecoderStep> steps_;
  std::vector<std::unique_ptr<const Normalizer>> replacers_;  // of each step; null where it needs none
};

}  // namespace tokenizer
