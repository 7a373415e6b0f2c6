// A hash table from 64-bit hashes to counts, kept and refilled for one document after another.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace curate {

class Counter {
 public:
  struct Entry {
    std::uint64_t key;
    std::uint32_t count;  ///< 0: free
    std::uint32_t first;  ///< the position that was given when the key came first
  };

  /// Empties the table and makes room for `keys` different keys.
  void reset(std::size_t keys) {
    // At most half full; a table that no cache holds anyway may be fuller, so that a huge text takes less memory.
    constexpr std::size_t kMany = 1 << 20;
    std::size_t size = std::bit_ceil(std::max<std::size_t>(keys < kMany ? keys * 2 : keys + keys / 3, 16));
    if (entries_.size() < size) entries_.resize(size);
    std::fill_n(entries_.data(), size, Entry{});
    shift_ = 64 - std::countr_zero(size);
    mask_ = size - 1;
  }
  /// The key's entry; a new one has count 0 and `position` as its first. The caller counts.
  Entry& at(std::uint64_t key, std::uint32_t position) {
    for (std::size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
      Entry& entry = entries_[slot];
      if (entry.count == 0) {
        entry.key = key;
        entry.first = position;
        return entry;
      }
      if (entry.key == key) return entry;
    }
  }
  void prefetch(std::uint64_t key) const { __builtin_prefetch(&entries_[slot_of(key)], 1); }
  std::uint32_t index_of(const Entry& entry) const { return static_cast<std::uint32_t>(&entry - entries_.data()); }
  const Entry& entry(std::uint32_t index) const { return entries_[index]; }

 private:
  std::size_t slot_of(std::uint64_t key) const { return (key * 0x9E3779B97F4A7C15ull) >> shift_; }
  std::vector<Entry> entries_;
  std::size_t mask_ = 0;
  int shift_ = 60;
};

}  // namespace curate
