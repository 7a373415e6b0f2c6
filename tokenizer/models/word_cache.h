// Words seen before and their ids: most of a text is words seen before.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/huge_pages.h"

namespace tokenizer {

/// A short word's bytes, zero-filled; the last one is the length, so no two words are equal.
struct ShortWord {
  static constexpr std::size_t kBytes = 15;
  std::uint64_t low = 0, high = 0;
  bool operator==(const ShortWord&) const = default;
};

/// [n]: a mask of the first n bytes of sixteen.
inline constexpr std::array<ShortWord, ShortWord::kBytes + 1> kFirstBytes = [] {
  std::array<ShortWord, ShortWord::kBytes + 1> masks{};
  for (std::size_t n = 0; n < masks.size(); ++n) {
    masks[n].low = n >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << 8 * n) - 1;
    masks[n].high = n <= 8 ? 0 : (std::uint64_t{1} << 8 * (n - 8)) - 1;
  }
  return masks;
}();

/// Two tables in which a newer word takes the place of an older one with the same slot: short words of few ids in 32
/// bytes each, longer ones behind a pointer. One thread.
class WordCache {
  using Key = ShortWord;

 public:
  static constexpr std::size_t kShortBytes = ShortWord::kBytes, kShortIds = 3, kLongBytes = 64;

  /// A word about to be looked up: memory is asked for already, so that several at a time do not wait for each other.
  struct Word {
    std::string_view text;
    Key key;  // of a short one
    std::size_t slot;
    bool is_short() const { return text.size() <= kShortBytes; }
  };
  /// `readable` is the end of the memory that `text`, which is not empty, lies in.
  Word word(std::string_view text, const char* readable) const {
    if (text.size() > kShortBytes) return {text, {}, 0};
    const Key key = short_key(text, readable);
    const std::size_t slot = mix(key.low, key.high) >> (64 - kShortBits);
    __builtin_prefetch(&short_[slot]);
    return {text, key, slot};
  }

  /// Writes kShortIds numbers to `to`, of which the first are the ids of `word`, and returns how many; -1 when it is
  /// not known as a short one.
  int find_short(const Word& word, std::int32_t* to) const {
    const Short& slot = short_[word.slot];
    if (slot.key != word.key || !word.is_short()) return -1;
    std::memcpy(to, slot.ids.data(), sizeof(slot.ids));
    return static_cast<int>(slot.count);
  }
  /// Of a short word that stands there: the bytes that each of its ids covers, which fill it; null where nobody said
  /// so.
  const std::uint8_t* widths(const Word& word) const {
    const Short& slot = short_[word.slot];
    return slot.widths[0] > 0 && slot.key == word.key && word.is_short() ? slot.widths.data() : nullptr;
  }
  void set_widths(const Word& word, const std::uint32_t* by_id, const std::int32_t* ids) {
    Short& slot = short_[word.slot];
    if (slot.key != word.key || !word.is_short()) return;
    for (std::size_t i = 0; i < slot.count; ++i) slot.widths[i] = static_cast<std::uint8_t>(by_id[ids[i]]);
  }

  /// Appends the ids of `word` and returns true, if it is known as a long one.
  bool find_long(const Word& word, std::vector<std::int32_t>& ids) const {
    if (word.text.size() > kLongBytes) return false;
    const Long& slot = long_[long_slot(word.text)];
    if (slot.word != word.text) return false;
    ids.insert(ids.end(), slot.ids.begin(), slot.ids.end());
    return true;
  }

  void insert(const Word& word, const std::int32_t* ids, std::size_t count) {
    if (word.is_short() && count <= kShortIds) {
      Short& slot = short_[word.slot];
      slot.key = word.key;
      slot.count = static_cast<std::uint8_t>(count);
      slot.widths = {};
      std::memcpy(slot.ids.data(), ids, count * sizeof(std::int32_t));
    } else if (word.text.size() <= kLongBytes) {
      Long& slot = long_[long_slot(word.text)];
      slot.word = word.text;
      slot.ids.assign(ids, ids + count);
    }
  }

 private:
  static constexpr int kShortBits = 16, kLongBits = 13;

  struct Short {
    Key key;
    std::array<std::int32_t, kShortIds> ids{};
    std::uint8_t count = 0;
    std::array<std::uint8_t, kShortIds> widths{};
  };
  struct Long {
    std::string word;
    std::vector<std::int32_t> ids;
  };

  static std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15ull) * (b ^ 0xBF58476D1CE4E5B9ull);
    return (static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64)) * 0x94D049BB133111EBull;
  }
  static Key short_key(std::string_view word, const char* readable) {
    Key key;
    if (readable - word.data() >= 16) {
      std::memcpy(&key, word.data(), 16);
      const Key& mask = kFirstBytes[word.size()];  // a length is hard to foretell: no branch
      key.low &= mask.low;
      key.high &= mask.high;
    } else {
      std::memcpy(&key, word.data(), word.size());
    }
    key.high |= static_cast<std::uint64_t>(word.size()) << 56;
    return key;
  }
  static std::size_t long_slot(std::string_view word) {
    std::uint64_t hash = word.size();
    std::size_t i = 0;
    for (; i + 8 <= word.size(); i += 8) {
      std::uint64_t part;
      std::memcpy(&part, word.data() + i, 8);
      hash = mix(hash, part);
    }
    std::uint64_t rest = 0;
    std::memcpy(&rest, word.data() + i, word.size() - i);
    return mix(hash, rest) >> (64 - kLongBits);
  }

  base::HugeVector<Short> short_ = base::HugeVector<Short>(std::size_t{1} << kShortBits);
  std::vector<Long> long_ = std::vector<Long>(std::size_t{1} << kLongBits);
};

}  // namespace tokenizer
