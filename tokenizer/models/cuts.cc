// Finds the places where no merge can cross. Tested by tests/tokenizer/sentencepiece_test.cc and bpe_test.cc.
#include "tokenizer/models/cuts.h"

#include <algorithm>

#include "tokenizer/split/characters.h"

namespace tokenizer {

namespace {

bool is_byte(std::string_view token) { return token.size() == 6 && token.starts_with("<0x"); }

// An unknown character that gives no id, or one id with its neighbours, has an effect beyond itself.
bool keeps_unknown_alone(const BpeSpec& spec) {
  const bool all_bytes = spec.byte_fallback && std::ranges::count_if(spec.tokens, is_byte) >= 256;
  return all_bytes || (spec.unknown && !spec.fuse_unknown);
}

// Do tokens say what they are made of?
bool joins_texts(const BpeSpec& spec, const Merge& merge) {
  const std::string_view left = spec.tokens[merge.left], right = spec.tokens[merge.right];
  const std::string_view result = spec.tokens[merge.result];
  return !is_byte(left) && !is_byte(right) && result.size() == left.size() + right.size() && result.starts_with(left) &&
         result.ends_with(right);
}

}  // namespace

Cuts::Cuts(const BpeSpec& spec) {
  any_ = spec.unigram.empty() && !spec.byte_level && !spec.ignore_merges && keeps_unknown_alone(spec) &&
         std::ranges::all_of(spec.merges, [&](const Merge& merge) { return joins_texts(spec, merge); });
  if (!any_) return;
  std::vector<bool> seen(spec.tokens.size());
  for (const Merge& merge : spec.merges) {
    if (seen[merge.result]) continue;
    seen[merge.result] = true;
    const std::string_view token = spec.tokens[merge.result];
    Character left = character_at(token, 0);
    for (std::size_t i = left.size; i < token.size();) {
      const Character right = character_at(token, i);
      if (left.code < kAscii && right.code < kAscii)
        ascii_.set(left.code * kAscii + right.code);
      else
        wide_.insert(static_cast<std::uint64_t>(left.code) << 32 | right.code);
      left = right;
      i += right.size;
    }
  }
}

std::size_t Cuts::first_part(std::string_view piece) const {
  Character left = character_at(piece, 0);
  for (std::size_t i = left.size; i < piece.size();) {
    const Character right = character_at(piece, i);
    if (!joined(left.code, right.code)) return i;
    left = right;
    i += right.size;
  }
  return piece.size();
}

}  // namespace tokenizer
