// Places in a text where no merge can cross: shorter pieces are found in the cache of words more often.
#pragma once

#include <bitset>
#include <cstddef>
#include <string_view>
#include <unordered_set>

#include "tokenizer/spec/bpe_spec.h"

namespace tokenizer {

/// Two neighbouring characters can only come into one token when a token that a merge makes holds them side by side.
/// Between all others a text may be cut without changing an id. For vocabularies of characters, not of bytes, in which
/// an unknown character has no effect on its neighbours.
class Cuts {
 public:
  explicit Cuts(const BpeSpec& spec);
  bool any() const { return any_; }
  /// Bytes of `piece` (not empty) up to the first cut, or its size.
  std::size_t first_part(std::string_view piece) const;

 private:
  bool joined(char32_t left, char32_t right) const {
    if (left < kAscii && right < kAscii) return ascii_[left * kAscii + right];
    return wide_.contains(static_cast<std::uint64_t>(left) << 32 | right);
  }

  static constexpr std::size_t kAscii = 128;
  bool any_ = false;
  std::bitset<kAscii * kAscii> ascii_;
  std::unordered_set<std::uint64_t> wide_;
};

}  // namespace tokenizer
