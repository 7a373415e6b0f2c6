// Random numbers that are the same on every machine and for every thread count: a counter and a key, no hidden state.
#pragma once

#include <cstdint>
#include <vector>

namespace base {

/// splitmix64's finaliser: a bijection of 64 bits (Steele, Lea, Flood 2014).
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/// Random bits as a number in [0, 1) with 53 bits.
constexpr double unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

/// splitmix64 as a generator; satisfies UniformRandomBitGenerator. `state` may be saved and restored.
struct Random {
  using result_type = std::uint64_t;
  std::uint64_t state = 0;
  explicit Random(std::uint64_t seed) : state(seed) {}
  static constexpr std::uint64_t min() { return 0; }
  static constexpr std::uint64_t max() { return ~std::uint64_t{0}; }
  std::uint64_t operator()() {
    std::uint64_t value = mix64(state);
    state += 0x9E3779B97F4A7C15ull;
    return value;
  }
  /// Uniform in [0, 1) with 53 bits; uniform in [0, bound).
  double uniform() { return unit((*this)()); }
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>((*this)()) * bound) >> 64);
  }
};

/// Fisher-Yates with `Random`: the same order everywhere, unlike std::shuffle.
template <class T>
void shuffle(std::vector<T>& items, Random& random) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace base
