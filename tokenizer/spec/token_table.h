// Tokens by their text: a hash table that is filled once.
#pragma once

#include <xxhash.h>

#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tokenizer {

/// The texts are not copied: they must outlive the table.
class TokenTable {
 public:
  static constexpr std::int32_t kNone = -1;

  explicit TokenTable(std::size_t most = 0) : slots_(std::bit_ceil(2 * most + 2)) {}
  /// Returns the id that `text` has from now on: of an earlier insert, else `id`. For at most `most` texts.
  std::int32_t insert(std::string_view text, std::int32_t id) {
    const std::uint64_t hash = hash_of(text);
    Slot& slot = slots_[place(text, hash)];
    if (slot.id == kNone) slot = {text, id, tag_of(hash)};
    return slot.id;
  }
  std::int32_t find(std::string_view text) const { return slots_[place(text, hash_of(text))].id; }

 private:
  struct Slot {
    std::string_view text;
    std::int32_t id = kNone;
    std::uint32_t tag = 0;  // of the hash: another text is told without a look at it
  };
  static std::uint64_t hash_of(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  std::size_t place(std::string_view text, std::uint64_t hash) const {
    const std::size_t mask = slots_.size() - 1;
    const std::uint32_t tag = tag_of(hash);
    std::size_t i = hash & mask;
    while (slots_[i].id != kNone && (slots_[i].tag != tag || slots_[i].text != text)) i = (i + 1) & mask;
    return i;
  }
  std::vector<Slot> slots_;
};

}  // namespace tokenizer
