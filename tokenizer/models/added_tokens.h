// Finding added tokens in a text, as the tokenizers package does: leftmost, longest, with the strip and word flags.
#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/encoding.h"

namespace tokenizer {

/// Immutable once made; any thread.
class AddedTokenFinder {
 public:
  /// `contents[i]` is what is looked for to find `tokens[i]` (its normalised form, where the token is normalised).
  /// Empty contents are never found.
  AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& contents);
  bool has_specials() const;

  /// Calls `text_part(begin, end)` and `token_part(token, begin, end)` in order; the parts between tokens are never
  /// empty. Special tokens that touch `data` are passed over; returns how many.
  template <class TextPart, class TokenPart>
  std::size_t find(std::string_view text, DataRanges data, TextPart text_part, TokenPart token_part) const {
    std::size_t done = 0, passed_over = 0;
    for (std::size_t i = 0; i < text.size() && !tokens_.empty();) {
      if (!begins_[static_cast<unsigned char>(text[i])]) {
        ++i;
        continue;
      }
      const Match match = match_at(text, i, data);
      if (match.length == 0) {
        ++i;
        continue;
      }
      std::size_t begin = i, end = i + match.length;
      i = end;  // also where the token is then refused: its text is not looked at again
      const AddedToken& token = tokens_[match.token];
      passed_over += match.passed_over;
      if (match.passed_over || !stretch(token, text, done, begin, end)) continue;
      if (begin > end) continue;
      if (done < begin) text_part(done, begin);
      if (begin < end) token_part(token, begin, end);
      done = end;
    }
    if (done < text.size()) text_part(done, text.size());
    return passed_over;
  }

 private:
  struct Node {
    std::vector<std::pair<unsigned char, std::uint32_t>> next;  // by byte; few, so not sorted
    std::int32_t token = -1;                                    // index into tokens_ of what ends here
  };
  struct Match {
    std::size_t token = 0, length = 0;  // length 0: none
    bool passed_over = false;           // special, in the data
  };
  Match longest_at(std::string_view text, std::size_t position) const;
  Match match_at(std::string_view text, std::size_t position, DataRanges& data) const;
  // Applies single_word (false: not found), left_strip and right_strip to the match [begin, end).
  static bool stretch(const AddedToken& token, std::string_view text, std::size_t done, std::size_t& begin,
                      std::size_t& end);

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> begins_{};
};

}  // namespace tokenizer
