// Which of many hashes may have come twice: counts without keys.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace curate {

/// Several hashes can share a place, so a count is never too small, but for kMost: that means kMost or more. Neither
/// adding nor asking takes a branch, which makes it several times as fast as a table with keys.
class Sieve {
 public:
  static constexpr std::uint32_t kMost = 255;

  /// Empties it and makes room for `hashes` different hashes.
  void reset(std::size_t hashes) {
    // One place in eight to sixteen is used; where no cache holds it anyway, one in two.
    constexpr std::size_t kMany = 1 << 20;
    const std::size_t size = std::bit_ceil(std::max<std::size_t>(hashes < kMany ? hashes * 8 : hashes * 2, 64));
    if (counts_.size() < size + 1) counts_.resize(size + 1);
    std::fill_n(counts_.data(), size, std::uint8_t{0});
    counts_[size] = kMost;
    shift_ = 64 - std::countr_zero(size);
    always_ = static_cast<std::uint32_t>(size);
  }
  /// What a loop works with: a copy of its own, which the compiler can keep in registers though bytes are written.
  class Places {
   public:
    /// Counts a hash; returns its place.
    std::uint32_t add(std::uint64_t hash) const {
      const auto place = static_cast<std::uint32_t>((hash * 0x9E3779B97F4A7C15ull) >> shift_);
      const std::uint32_t count = counts_[place] + 1u;
      counts_[place] = static_cast<std::uint8_t>(count - (count >> 8));
      return place;
    }
    std::uint32_t count(std::uint32_t place) const { return counts_[place]; }

   private:
    friend class Sieve;
    Places(std::uint8_t* counts, int shift) : counts_(counts), shift_(shift) {}
    std::uint8_t* counts_;
    int shift_;
  };
  Places places() { return {counts_.data(), shift_}; }
  /// A place whose count is kMost.
  std::uint32_t always() const { return always_; }

 private:
  std::vector<std::uint8_t> counts_;
  std::uint32_t always_ = 0;
  int shift_ = 60;
};

}  // namespace curate
