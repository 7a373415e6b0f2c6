// The text of tokens that come one after the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {

/// `text` as valid UTF-8: without the bytes at its end that begin a character and lack the rest of it, as where a model
/// was stopped inside one, and with U+FFFD for all other bytes that are none.
std::string whole_characters(std::string text);

/// Gives the text of each token as it comes, so that all of it joined is what decode gives of all tokens at once. A
/// character that is spread over several tokens comes whole, with the last of them. The work for a token does not grow
/// with the text before it. Where a decoder of tokenizer.json may change the text of a token because of a later one,
/// all of the text comes at the end.
class TextStream {
 public:
  /// `tokenizer` must outlive the stream.
  TextStream(const Tokenizer& tokenizer, bool skip_special)
      : tokenizer_(tokenizer), skip_special_(skip_special), forward_(tokenizer.decodes_forward()) {}
  /// The text that is whole now: often the token's, "" while a character is not complete.
  std::string add(std::int32_t id);
  /// What has not been given yet: the bytes of a character that never became whole.
  std::string finish();

 private:
  std::string text_of(std::int32_t id);

  const Tokenizer& tokenizer_;
  bool skip_special_, forward_;
  std::vector<std::int32_t> first_;   // the tokens up to the first that gave text
  std::vector<std::int32_t> latest_;  // the last few behind them
  std::string held_;                  // the beginning of a character
  std::vector<std::int32_t> all_;     // where nothing is known before the end
  bool has_text_ = false;
};

}  // namespace tokenizer
