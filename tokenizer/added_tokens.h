// Finding added tokens in a text, as the tokenizers package does: leftmost, longest, with the strip and word flags.
#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/bpe_spec.h"

namespace tokenizer {

/// Immutable once made; any thread.
class AddedTokenFinder {
 public:
  /// `contents[i]` is what is looked for to find `tokens[i]` (its normalised form, where the token is normalised).
  /// Empty contents are never found.
  AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& contents);

  /// Calls `text_part(begin, end)` and `token_part(token)` in order; the parts between tokens are never empty.
  /// Without `parse_special`, special tokens are passed over.
  template <class TextPart, class TokenPart>
  void find(std::string_view text, bool parse_special, TextPart text_part, TokenPart token_part) const {
    std::size_t done = 0;
    for (std::size_t i = 0; i < text.size() && !tokens_.empty();) {
      if (!begins_[static_cast<unsigned char>(text[i])]) {
        ++i;
        continue;
      }
      const auto [index, length] = longest_at(text, i);
      if (length == 0) {
        ++i;
        continue;
      }
      std::size_t begin = i, end = i + length;
      i = end;  // also where the token is then refused: its text is not looked at again
      const AddedToken& token = tokens_[index];
      if (token.special && !parse_special) continue;
      if (!stretch(token, text, done, begin, end)) continue;
      if (done < begin) text_part(done, begin);
      token_part(token);
      done = end;
    }
    if (done < text.size()) text_part(done, text.size());
  }

 private:
  struct Node {
    std::vector<std::pair<unsigned char, std::uint32_t>> next;  // by byte; few, so not sorted
    std::int32_t token = -1;                                    // index into tokens_ of what ends here
  };
  std::pair<std::size_t, std::size_t> longest_at(std::string_view text, std::size_t position) const;
  // Applies single_word (false: not found), left_strip and right_strip to the match [begin, end).
  static bool stretch(const AddedToken& token, std::string_view text, std::size_t done, std::size_t& begin,
                      std::size_t& end);

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> begins_{};
};

}  // namespace tokenizer
