// How large numbers are. Tested by tests/base/tensor_test.cc.
#include "base/magnitude.h"

#include <bit>
#include <cstdint>

#include "base/clones.h"

namespace base {
namespace {

using Bits __attribute__((may_alias)) = std::uint32_t;

// Whole numbers without a sign are ordered as the magnitudes are, NaN last; and their largest is a vector operation,
// which neither that of floats nor a truth value a number is.
BASE_CLONES std::uint32_t largest_of(const Bits* bits, std::size_t n) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t magnitude = bits[i] & 0x7fffffffu;
    largest = largest < magnitude ? magnitude : largest;
  }
  return largest;
}

}  // namespace

float largest_magnitude(std::span<const float> values) {
  return std::bit_cast<float>(largest_of(reinterpret_cast<const Bits*>(values.data()), values.size()));
}

}  // namespace base
