// The text of tokens that come one after the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {

/// Gives the text of each token as it comes, so that all of it joined is what decode gives of all tokens at once. A
/// character that is spread over several tokens comes whole, with the last of them. The work for a token does not grow
/// with the text before it. Where a decoder of tokenizer.json changes the text of a token because of a later one, what
/// has been given is not taken back.
class TextStream {
 public:
  /// `tokenizer` must outlive the stream.
  TextStream(const Tokenizer& tokenizer, bool skip_special) : tokenizer_(tokenizer), skip_special_(skip_special) {}
  /// The text that is whole now: often the token's, "" while a character is not complete.
  std::string add(std::int32_t id);
  /// The bytes of a character that never became whole.
  std::string finish();

 private:
  std::string text_of(std::int32_t id);

  const Tokenizer& tokenizer_;
  bool skip_special_;
  std::vector<std::int32_t> first_;   // the tokens up to the first that gave text
  std::vector<std::int32_t> latest_;  // the last few behind them
  std::string held_;                  // the beginning of a character
  bool has_text_ = false;
};

}  // namespace tokenizer
