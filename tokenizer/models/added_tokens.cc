// Finding added tokens in a text, as the tokenizers package does: leftmost, longest, with the strip and word flags.
// Tested by tests/tokenizer/folder_test.cc and parity_test.cc.
#include "tokenizer/models/added_tokens.h"

#include <algorithm>

#include "tokenizer/split/characters.h"

namespace tokenizer {
AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& contents)
    : tokens_(std::move(tokens)), nodes_(1) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (contents[i].empty()) continue;
    begins_[static_cast<unsigned char>(contents[i][0])] = true;
    std::uint32_t node = 0;
    for (const char c : contents[i]) {
      const auto byte = static_cast<unsigned char>(c);
      std::uint32_t child = 0;
      for (const auto& [b, n] : nodes_[node].next)
        if (b == byte) child = n;
      if (child == 0) {
        child = static_cast<std::uint32_t>(nodes_.size());
        nodes_[node].next.emplace_back(byte, child);
        nodes_.emplace_back();
      }
      node = child;
    }
    if (nodes_[node].token < 0) nodes_[node].token = static_cast<std::int32_t>(i);
  }
}

bool AddedTokenFinder::has_specials() const { return std::ranges::any_of(tokens_, &AddedToken::special); }

AddedTokenFinder::Match AddedTokenFinder::longest_at(std::string_view text, std::size_t position) const {
  Match best;
  std::uint32_t node = 0;
  for (std::size_t i = position; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    std::uint32_t child = 0;
    for (const auto& [b, n] : nodes_[node].next)
      if (b == byte) {
        child = n;
        break;
      }
    if (child == 0) break;
    node = child;
    if (nodes_[node].token >= 0) best = {static_cast<std::size_t>(nodes_[node].token), i + 1 - position, false};
  }
  return best;
}

// The match that counts at `position`. `data` loses the ranges that lie before it.
AddedTokenFinder::Match AddedTokenFinder::match_at(std::string_view text, std::size_t position,
                                                   DataRanges& data) const {
  while (!data.empty() && data.front().end <= position) data = data.subspan(1);
  Match longest = longest_at(text, position);
  if (longest.length == 0 || data.empty() || data.front().begin >= position + longest.length) return longest;
  // Data that follow a special token must not hide it by making a longer one of it.
  if (position < data.front().begin) {
    const Match before = longest_at(text.substr(0, data.front().begin), position);
    if (before.length > 0 && tokens_[before.token].special) return before;
  }
  longest.passed_over = tokens_[longest.token].special;
  return longest;
}

bool AddedTokenFinder::stretch(const AddedToken& token, std::string_view text, std::size_t done, std::size_t& begin,
                               std::size_t& end) {
  if (token.single_word) {
    if (begin > 0 && is_word(character_at(text, character_before(text, begin)).code)) return false;
    if (end < text.size() && is_word(character_at(text, end).code)) return false;
  }
  if (token.left_strip) {
    begin = std::max(begin, done);  // the token before may have taken white space that this one begins with
    while (begin > done) {
      const std::size_t before = character_before(text, begin);
      if (character_at(text, before).type != CharacterClass::kSpace || before < done) break;
      begin = before;
    }
  }
  if (token.right_strip) {
    while (end < text.size()) {
      const Character c = character_at(text, end);
      if (c.type != CharacterClass::kSpace) break;
      end += c.size;
    }
  }
  return true;
}

}  // namespace tokenizer
