// Small sums that the statistics of a text are made of.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace curate {

/// A set of hashes that is emptied in no time. It remembers the first 3/4 kSlots of them; any other is always new.
template <std::size_t kSlots>
class Seen {
 public:
  void clear() {
    ++round_;
    count_ = 0;
  }
  /// True: it was not there.
  bool insert(std::uint64_t hash) {
    std::size_t slot = (hash * 0x9E3779B97F4A7C15ull) >> (64 - std::countr_zero(kSlots));
    while (slots_[slot].round == round_) {
      if (slots_[slot].hash == hash) return false;
      slot = (slot + 1) & (kSlots - 1);
    }
    if (count_ < kSlots / 4 * 3) {
      slots_[slot] = {hash, round_};
      ++count_;
    }
    return true;
  }

 private:
  struct Slot {
    std::uint64_t hash = 0, round = 0;
  };
  std::uint64_t round_ = 1;
  std::size_t count_ = 0;
  std::array<Slot, kSlots> slots_{};
};

/// The share of distinct items among so many in a row.
class Variety {
 public:
  explicit Variety(std::size_t window) : window_(window) {}
  void clear() {
    seen_.clear();
    count_ = distinct_ = windows_ = 0;
    sum_ = 0;
  }
  void add(std::uint64_t hash) {
    distinct_ += seen_.insert(hash);
    if (++count_ < window_) return;
    sum_ += share_of_window();
    ++windows_;
    count_ = distinct_ = 0;
    seen_.clear();
  }
  /// Mean over the windows; a last one below half its size counts only when it is the only one.
  double share() const {
    const bool open = count_ > 0 && (windows_ == 0 || count_ * 2 >= window_);
    const std::size_t windows = windows_ + (open ? 1 : 0);
    return windows == 0 ? 0 : (sum_ + (open ? share_of_window() : 0)) / static_cast<double>(windows);
  }

 private:
  double share_of_window() const { return static_cast<double>(distinct_) / static_cast<double>(count_); }
  std::size_t window_, count_ = 0, distinct_ = 0, windows_ = 0;
  double sum_ = 0;
  Seen<1024> seen_;
};

/// Sums of a quantity for its mean and its coefficient of variation.
struct Moments {
  double count = 0, sum = 0, squares = 0;
  void add(double value) {
    ++count;
    sum += value;
    squares += value * value;
  }
  double mean() const { return count > 0 ? sum / count : 0; }
  double deviation() const { return count > 0 ? std::sqrt(std::max(0.0, squares / count - mean() * mean())) : 0; }
  double spread() const { return deviation() / (mean() + 1); }
};

}  // namespace curate
