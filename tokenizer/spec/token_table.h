// Tokens by their text: a hash table that is filled once.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/huge_pages.h"

namespace tokenizer {

/// The texts are not copied: they must outlive the table.
class TokenTable {
 public:
  static constexpr std::int32_t kNone = -1;
  enum Twice { kFirst, kLast };  ///< the id that a text has which stands there twice

  /// Empty, for at most `most` texts.
  explicit TokenTable(std::size_t most = 0)
      : slots_(std::bit_ceil(most + most / 2 + 2)), shift_(64 - std::countr_zero(slots_.size())) {
    texts_.reserve(most);
  }
  /// `texts[i]` has the id i; "" is none.
  explicit TokenTable(base::HugeVector<std::string_view> texts, Twice counts = kFirst);
  /// The ids of two texts that are the same, if the constructor was given such.
  const std::optional<std::pair<std::int32_t, std::int32_t>>& twice() const { return twice_; }
  /// Returns the id that `text` has from now on: of an earlier insert, else `id`, which no other text has.
  std::int32_t insert(std::string_view text, std::int32_t id) {
    const std::uint64_t key = key_of(text);
    Slot& slot = slots_[place(text, key)];
    if (slot.id != kNone) return slot.id;
    slot = {key, id};
    if (const auto index = static_cast<std::size_t>(id); index >= texts_.size()) texts_.resize(index + 1);
    texts_[id] = text;
    return id;
  }
  std::int32_t find(std::string_view text) const { return slots_[place(text, key_of(text))].id; }
  /// `ids[i]` becomes that of `texts[i]`. Faster than one after the other: memory is asked for before it is needed.
  void find_all(std::span<const std::string_view> texts, std::span<std::int32_t> ids) const;
  /// The text of an id; "" where it has none.
  std::string_view text(std::int32_t id) const {
    return static_cast<std::size_t>(id) < texts_.size() ? texts_[id] : std::string_view();
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    std::int32_t id = kNone;
  };
  static constexpr std::uint64_t kLong = std::uint64_t{1} << 63;

  // A short text is its own key: nothing else is looked at. Of a long one it is a hash.
  static std::uint64_t key_of(std::string_view text) {
    const std::size_t size = text.size();
    if (size > 7) return XXH3_64bits(text.data(), size) | kLong;
    const auto byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(text[i])} << 8 * i; };
    std::uint64_t key = static_cast<std::uint64_t>(size) << 56;
    if (size >= 4) {
      std::uint32_t first, last;  // that may overlap
      std::memcpy(&first, text.data(), 4);
      std::memcpy(&last, text.data() + size - 4, 4);
      return key | first | static_cast<std::uint64_t>(last) << 8 * (size - 4);
    }
    return size == 0 ? key : key | byte(0) | byte(size / 2) | byte(size - 1);
  }
  std::size_t first_place(std::uint64_t key) const { return key * 0x9E3779B97F4A7C15ull >> shift_; }
  std::size_t place(std::string_view text, std::uint64_t key) const {
    std::size_t i = first_place(key);
    while (slots_[i].id != kNone && (slots_[i].key != key || (key >= kLong && texts_[slots_[i].id] != text)))
      i = (i + 1) & (slots_.size() - 1);
    return i;
  }

  base::HugeVector<Slot> slots_;
  int shift_;
  base::HugeVector<std::string_view> texts_;  // by id
  std::optional<std::pair<std::int32_t, std::int32_t>> twice_;
};

inline void TokenTable::find_all(std::span<const std::string_view> texts, std::span<std::int32_t> ids) const {
  constexpr std::size_t kBlock = 32;
  std::array<std::uint64_t, kBlock> keys;
  for (; !texts.empty();
       texts = texts.subspan(std::min(kBlock, texts.size())), ids = ids.subspan(std::min(kBlock, ids.size()))) {
    const std::size_t size = std::min(kBlock, texts.size());
    const auto each_long = [&](auto then) {
      for (std::size_t i = 0; i < size; ++i)
        if (const std::int32_t id = slots_[first_place(keys[i])].id; keys[i] >= kLong && id != kNone) then(id);
    };
    for (std::size_t i = 0; i < size; ++i) {
      keys[i] = key_of(texts[i]);
      __builtin_prefetch(&slots_[first_place(keys[i])]);
    }
    each_long([&](std::int32_t id) { __builtin_prefetch(&texts_[id]); });
    each_long([&](std::int32_t id) { __builtin_prefetch(texts_[id].data()); });
    for (std::size_t i = 0; i < size; ++i) ids[i] = slots_[place(texts[i], keys[i])].id;
  }
}

inline TokenTable::TokenTable(base::HugeVector<std::string_view> texts, Twice counts) : TokenTable(texts.size()) {
  texts_ = std::move(texts);
  // Each goes to another place in memory: asked for some texts ahead, so that nobody waits for it.
  constexpr std::size_t kAhead = 16;
  std::array<std::uint64_t, kAhead> keys;
  const std::size_t size = texts_.size();
  for (std::size_t i = 0; i < size + kAhead; ++i) {
    std::uint64_t& key = keys[i % kAhead];
    if (i >= kAhead && !texts_[i - kAhead].empty()) {
      const auto id = static_cast<std::int32_t>(i - kAhead);
      Slot& slot = slots_[place(texts_[id], key)];
      if (slot.id != kNone && !twice_) twice_ = {slot.id, id};
      if (slot.id == kNone || counts == kLast) slot = {key, id};
    }
    if (i >= size) continue;
    key = key_of(texts_[i]);
    __builtin_prefetch(&slots_[first_place(key)], 1);
  }
}

}  // namespace tokenizer
