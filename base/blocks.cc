// Blocks of quantised weights, as ggml lays them. Tested by tests/base/tensor_test.cc.
//
// Products and sums are in the order of the PyPI package `gguf` and contraction is off (see CMakeLists.txt), so that
// every bit is the same, on every processor. "Element e" is the place in the block's output. Layouts: struct block_* in
// ggml-common.h.
#include "base/blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/clones.h"
#include "base/error.h"

namespace base {
namespace {

std::uint8_t byte_at(const std::byte* from, std::size_t index) { return std::to_integer<std::uint8_t>(from[index]); }

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

float half_at(const std::byte* from) { return half_to_float(load<std::uint16_t>(from)); }

// The two nibbles of byte j are the elements j and j + half of a run of 2 * half elements.
template <std::size_t half, class Value>
[[gnu::always_inline]] inline void for_nibbles(const std::byte* packed, float* out, Value value) {
  for (std::size_t j = 0; j < half; ++j) out[j] = value(byte_at(packed, j) & 15, j);
  for (std::size_t j = 0; j < half; ++j) out[half + j] = value(byte_at(packed, j) >> 4, half + j);
}

// d, 16 bytes of nibbles.
BASE_CLONES void expand_q4_0(const std::byte* block, float* out) {
  const float d = half_at(block);
  for_nibbles<16>(block + 2, out, [&](int q, std::size_t) { return d * static_cast<float>(q - 8); });
}

// d, minimum, nibbles.
BASE_CLONES void expand_q4_1(const std::byte* block, float* out) {
  const float d = half_at(block), minimum = half_at(block + 2);
  for_nibbles<16>(block + 4, out, [&](int q, std::size_t) { return d * static_cast<float>(q) + minimum; });
}

// d, the fifth bit of each element, nibbles.
BASE_CLONES void expand_q5_0(const std::byte* block, float* out) {
  const float d = half_at(block);
  const auto high = load<std::uint32_t>(block + 2);
  for_nibbles<16>(block + 6, out, [&](int q, std::size_t e) {
    return d * static_cast<float>((q | static_cast<int>(high >> e & 1) << 4) - 16);
  });
}

// d, minimum, fifth bits, nibbles.
BASE_CLONES void expand_q5_1(const std::byte* block, float* out) {
  const float d = half_at(block), minimum = half_at(block + 2);
  const auto high = load<std::uint32_t>(block + 4);
  for_nibbles<16>(block + 8, out, [&](int q, std::size_t e) {
    return d * static_cast<float>(q | static_cast<int>(high >> e & 1) << 4) + minimum;
  });
}

BASE_CLONES void expand_q8_0(const std::byte* block, float* out) {
  const float d = half_at(block);
  for (std::size_t e = 0; e < kSmallBlock; ++e) out[e] = static_cast<float>(load<std::int8_t>(block + 2 + e)) * d;
}

// 16 pairs of scale and minimum (nibbles), 64 bytes of 2-bit quants, d, dmin. 16 elements share a pair; a byte's four
// quants are the elements e, e + 32, e + 64, e + 96 of a half.
void expand_q2_k(const std::byte* block, float* out) {
  const std::byte* quants = block + 16;
  const float d = half_at(block + 80), dmin = half_at(block + 82);
  for (std::size_t group = 0; group < 16; ++group) {
    const std::uint8_t pair = byte_at(block, group);
    const float scale = d * static_cast<float>(pair & 15), minimum = dmin * static_cast<float>(pair >> 4);
    const std::byte* from = quants + group / 8 * 32 + group % 2 * 16;
    const auto shift = static_cast<int>(group / 2 % 4) * 2;
    for (std::size_t j = 0; j < 16; ++j)
      out[group * 16 + j] = scale * static_cast<float>(byte_at(from, j) >> shift & 3) - minimum;
  }
}

// 32 bytes of third bits, 64 bytes of 2-bit quants, 16 scales of 6 bits in 12 bytes, d.
void expand_q3_k(const std::byte* block, float* out) {
  const std::byte *high = block, *quants = block + 32, *scales = block + 96;
  const float d = half_at(block + 108);
  for (std::size_t group = 0; group < 16; ++group) {
    const int low = group < 8 ? byte_at(scales, group) & 15 : byte_at(scales, group - 8) >> 4;
    const int top = byte_at(scales, 8 + group % 4) >> (group / 4 * 2) & 3;
    const float scale = d * static_cast<float>((low | top << 4) - 32);
    const std::size_t place = group % 2 * 16;
    const std::byte* from = quants + group / 8 * 32 + place;
    const auto shift = static_cast<int>(group / 2 % 4) * 2, bit = static_cast<int>(group / 2);
    for (std::size_t j = 0; j < 16; ++j) {
      const int missing = byte_at(high, place + j) >> bit & 1 ? 0 : 4;  // a bit that is not set takes 4 away
      out[group * 16 + j] = scale * static_cast<float>((byte_at(from, j) >> shift & 3) - missing);
    }
  }
}

// d, dmin, scales, [32 bytes of fifth bits,] 128 bytes of nibbles: 32 bytes hold two groups of 32.
template <bool five_bits>
[[gnu::always_inline]] inline void expand_q4_k_or_q5_k(const std::byte* block, float* out) {
  const float d = half_at(block), dmin = half_at(block + 2);
  const std::byte *scales = block + 4, *high = block + 16, *quants = block + (five_bits ? 48 : 16);
  for (std::size_t group = 0; group < 8; ++group) {
    const auto [scale_bits, minimum_bits] = scale_and_minimum(scales, group);
    const float scale = d * scale_bits, minimum = dmin * minimum_bits;
    const std::byte* from = quants + group / 2 * 32;
    const int shift = group % 2 == 0 ? 0 : 4;
    for (std::size_t j = 0; j < 32; ++j) {
      int q = byte_at(from, j) >> shift & 15;
      if constexpr (five_bits) q |= (byte_at(high, j) >> group & 1) << 4;
      out[group * 32 + j] = scale * static_cast<float>(q) - minimum;
    }
  }
}

BASE_CLONES void expand_q4_k(const std::byte* block, float* out) { expand_q4_k_or_q5_k<false>(block, out); }
BASE_CLONES void expand_q5_k(const std::byte* block, float* out) { expand_q4_k_or_q5_k<true>(block, out); }

// 128 bytes of nibbles, 64 bytes of the upper two bits, 16 scales of 8 bits, d.
BASE_CLONES void expand_q6_k(const std::byte* block, float* out) {
  const std::byte* scales = block + 192;
  const float d = half_at(block + 208);
  for (std::size_t group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(load<std::int8_t>(scales + group));
    const std::size_t half = group / 8, in_half = group % 8 * 16;  // in_half: the group's first element of its 128
    const std::byte* low = block + half * 64 + in_half % 64;
    const std::byte* high = block + 128 + half * 32 + in_half % 32;
    const int low_shift = in_half < 64 ? 0 : 4, high_shift = static_cast<int>(in_half / 32) * 2;
    for (std::size_t j = 0; j < 16; ++j) {
      const int q = (byte_at(low, j) >> low_shift & 15) | (byte_at(high, j) >> high_shift & 3) << 4;
      out[group * 16 + j] = scale * static_cast<float>(q - 32);
    }
  }
}

// What the 16 codes of IQ4_NL and IQ4_XS stand for.
constexpr std::array<float, 16> kNonLinear = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// d, nibbles.
void expand_iq4_nl(const std::byte* block, float* out) {
  const float d = half_at(block);
  for_nibbles<16>(block + 2, out,
                  [&](int code, std::size_t) { return d * kNonLinear[static_cast<std::size_t>(code)]; });
}

// d, the upper two bits of 8 scales, their lower four, 16 bytes of nibbles for each 32 elements.
void expand_iq4_xs(const std::byte* block, float* out) {
  const float d = half_at(block);
  const auto high = load<std::uint16_t>(block + 2);
  for (std::size_t group = 0; group < 8; ++group) {
    const int low = byte_at(block + 4, group / 2) >> (group % 2 * 4) & 15;
    const float scale = d * static_cast<float>((low | (high >> group * 2 & 3) << 4) - 32);
    for_nibbles<16>(block + 8 + group * 16, out + group * 32,
                    [&](int code, std::size_t) { return scale * kNonLinear[static_cast<std::size_t>(code)]; });
  }
}

// An exponent (half of 2^(e - 127)), nibbles of e2m1 numbers, doubled.
void expand_mxfp4(const std::byte* block, float* out) {
  static constexpr std::array<float, 16> kValues = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  const std::uint32_t exponent = byte_at(block, 0);
  const float d = std::bit_cast<float>(exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23);
  for_nibbles<16>(block + 1, out, [&](int code, std::size_t) { return d * kValues[static_cast<std::size_t>(code)]; });
}

}  // namespace

ExpandBlock block_expander(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return expand_q4_0;
    case DType::kQ4_1:
      return expand_q4_1;
    case DType::kQ5_0:
      return expand_q5_0;
    case DType::kQ5_1:
      return expand_q5_1;
    case DType::kQ8_0:
      return expand_q8_0;
    case DType::kQ2_K:
      return expand_q2_k;
    case DType::kQ3_K:
      return expand_q3_k;
    case DType::kQ4_K:
      return expand_q4_k;
    case DType::kQ5_K:
      return expand_q5_k;
    case DType::kQ6_K:
      return expand_q6_k;
    case DType::kIQ4_NL:
      return expand_iq4_nl;
    case DType::kIQ4_XS:
      return expand_iq4_xs;
    case DType::kMXFP4:
      return expand_mxfp4;
    default:
      return nullptr;
  }
}

void quantize_q8_0(const float* values, std::byte* block) {
  float amax = 0;
  bool finite = true;
  for (std::size_t j = 0; j < kSmallBlock; ++j) {
    amax = std::max(amax, std::fabs(values[j]));
    finite = finite && std::isfinite(values[j]);
  }
  const float d = amax / 127;
  const std::uint16_t half = float_to_half(d);
  if (!finite || (half & 0x7c00) == 0x7c00)
    throw Error({"cannot quantize to Q8_0", "", finite ? fmt::format("{}", amax) : "not a finite number",
                 "finite numbers below 8,300,000", "choose F32"});
  float inverse = d == 0 ? 0 : 1 / d;
  if (!std::isfinite(inverse)) inverse = 0;  // d is subnormal: as a half it is zero, whatever the quants
  std::memcpy(block, &half, 2);
  for (std::size_t j = 0; j < kSmallBlock; ++j) {
    const auto q = static_cast<std::int8_t>(std::round(values[j] * inverse));
    std::memcpy(block + 2 + j, &q, 1);
  }
}

}  // namespace base
