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
    Slot& slot = slots_[place(text)];
    if (slot.id == kNone) slot = {text, id};
    return slot.id;
  }
  std::int32_t find(std::string_view text) const { return slots_[place(text)].id; }

 private:
  struct Slot {
    std::string_view text;
    std::int32_t id = kNone;
  };
  std::size_t place(std::string_view text) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = XXH3_64bits(text.data(), text.size()) & mask;
    while (slots_[i].id != kNone && slots_[i].text != text) i = (i + 1) & mask;
    return i;
  }
  std::vector<Slot> slots_;
};

}  // namespace tokenizer
