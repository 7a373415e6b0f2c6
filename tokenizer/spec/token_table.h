// Tokens by their text: a hash table that is filled once.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
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

  /// Empty, for at most `most` texts.
  explicit TokenTable(std::size_t most = 0) : slots_(std::bit_ceil(most + most / 2 + 2)) { texts_.reserve(most); }
  /// `texts[i]` has the id i; "" is none. Of a text that stands there twice the first counts.
  explicit TokenTable(base::HugeVector<std::string_view> texts);
  /// The ids of two texts that are the same, if the constructor was given such.
  const std::optional<std::pair<std::int32_t, std::int32_t>>& twice() const { return twice_; }
  /// Returns the id that `text` has from now on: of an earlier insert, else `id`, which no other text has.
  std::int32_t insert(std::string_view text, std::int32_t id) {
    const std::uint64_t hash = hash_of(text);
    Slot& slot = slots_[place(text, hash)];
    if (slot.id != kNone) return slot.id;
    slot = {tag_of(hash), id};
    if (const auto index = static_cast<std::size_t>(id); index >= texts_.size()) texts_.resize(index + 1);
    texts_[id] = text;
    return id;
  }
  std::int32_t find(std::string_view text) const { return slots_[place(text, hash_of(text))].id; }
  /// `ids[i]` becomes that of `texts[i]`. Faster than one after the other: memory is asked for before it is needed.
  void find_all(std::span<const std::string_view> texts, std::span<std::int32_t> ids) const;
  /// The text of an id; "" where it has none.
  std::string_view text(std::int32_t id) const {
    return static_cast<std::size_t>(id) < texts_.size() ? texts_[id] : std::string_view();
  }

 private:
  // Small, so that many stay in the processor's caches: texts are looked at where the tags are equal.
  struct Slot {
    std::uint32_t tag = 0;  // of the hash
    std::int32_t id = kNone;
  };
  static std::uint64_t hash_of(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  std::size_t place(std::string_view text, std::uint64_t hash) const {
    const std::size_t mask = slots_.size() - 1;
    const std::uint32_t tag = tag_of(hash);
    std::size_t i = hash & mask;
    while (slots_[i].id != kNone && (slots_[i].tag != tag || texts_[slots_[i].id] != text)) i = (i + 1) & mask;
    return i;
  }
  base::HugeVector<Slot> slots_;
  base::HugeVector<std::string_view> texts_;  // by id
  std::optional<std::pair<std::int32_t, std::int32_t>> twice_;
};

inline void TokenTable::find_all(std::span<const std::string_view> texts, std::span<std::int32_t> ids) const {
  constexpr std::size_t kBlock = 32;
  std::array<std::uint64_t, kBlock> hashes;
  if (texts_.empty()) {
    std::ranges::fill(ids, kNone);
    return;
  }
  for (; !texts.empty();
       texts = texts.subspan(std::min(kBlock, texts.size())), ids = ids.subspan(std::min(kBlock, ids.size()))) {
    const std::size_t size = std::min(kBlock, texts.size());
    for (std::size_t i = 0; i < size; ++i) {
      hashes[i] = hash_of(texts[i]);
      __builtin_prefetch(&slots_[hashes[i] & (slots_.size() - 1)]);
    }
    for (std::size_t i = 0; i < size; ++i) {
      const Slot& slot = slots_[hashes[i] & (slots_.size() - 1)];
      ids[i] = std::max(slot.id, 0);
      __builtin_prefetch(&texts_[ids[i]]);
    }
    for (std::size_t i = 0; i < size; ++i) __builtin_prefetch(texts_[ids[i]].data());
    for (std::size_t i = 0; i < size; ++i) ids[i] = slots_[place(texts[i], hashes[i])].id;
  }
}

inline TokenTable::TokenTable(base::HugeVector<std::string_view> texts) : TokenTable(texts.size()) {
  texts_ = std::move(texts);
  // Each goes to another place in memory: asked for some texts ahead, so that nobody waits for it.
  constexpr std::size_t kAhead = 16;
  std::array<std::uint64_t, kAhead> hashes;
  const std::size_t size = texts_.size();
  for (std::size_t i = 0; i < size + kAhead; ++i) {
    std::uint64_t& hash = hashes[i % kAhead];
    if (i >= kAhead && !texts_[i - kAhead].empty()) {
      const auto id = static_cast<std::int32_t>(i - kAhead);
      Slot& slot = slots_[place(texts_[id], hash)];
      if (slot.id == kNone)
        slot = {tag_of(hash), id};
      else if (!twice_)
        twice_ = {slot.id, id};
    }
    if (i >= size) continue;
    hash = hash_of(texts_[i]);
    __builtin_prefetch(&slots_[hash & (slots_.size() - 1)], 1);
  }
}

}  // namespace tokenizer
