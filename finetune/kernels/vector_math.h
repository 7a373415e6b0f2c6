// What loops over rows share: types as they lie in memory, computed with in float32, and an exponential that compilers
// turn into vector instructions. For .cc files of this room and of weights. Tested by tests/finetune/model_test.cc.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/clones.h"

#define FINETUNE_INLINE inline __attribute__((always_inline))

namespace finetune {

struct Bfloat16 {
  std::uint16_t bits;
};
struct Float16 {
  std::uint16_t bits;
};

FINETUNE_INLINE float load(float value) { return value; }
FINETUNE_INLINE float load(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
FINETUNE_INLINE float load(Float16 value) {  // its bits as the end of a float32 times 2^112: small numbers too
  const std::uint32_t rest = (value.bits & 0x7FFFu) << 13;
  const auto scaled = std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest) * 0x1p112f);
  const std::uint32_t known = rest >= 0x7C00u << 13 ? rest | 0x7F800000u : scaled;  // infinite or no number
  return std::bit_cast<float>(known | (value.bits & 0x8000u) << 16);
}
FINETUNE_INLINE void store(float& place, float value) { place = value; }
FINETUNE_INLINE void store(Bfloat16& place, float value) {  // to nearest even; NaN stays NaN
  auto bits = std::bit_cast<std::uint32_t>(value);
  std::uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  place.bits = static_cast<std::uint16_t>(value == value ? rounded : 0x7FC0u);
}
template <class T>
FINETUNE_INLINE float rounded(float value) {
  T place;
  store(place, value);
  return load(place);
}

using Floats8 = float __attribute__((vector_size(32)));
using Words8 = std::uint32_t __attribute__((vector_size(32)));
using Halves8 = std::uint16_t __attribute__((vector_size(16)));
using Floats16 = float __attribute__((vector_size(64)));
using Words16 = std::uint32_t __attribute__((vector_size(64)));
using Halves16 = std::uint16_t __attribute__((vector_size(32)));
template <class Halves, class Words, class Floats>
FINETUNE_INLINE void widen(const Bfloat16* x, Floats& values) {
  Halves bits;
  __builtin_memcpy(&bits, x, sizeof bits);
  const Words words = __builtin_convertvector(bits, Words) << 16;
  __builtin_memcpy(&values, &words, sizeof values);
}
/// Eight or sixteen numbers from any address. (A vector returned by value would depend on the processor compiled for.)
template <class Floats>
FINETUNE_INLINE void load(const float* x, Floats& values) {
  __builtin_memcpy(&values, x, sizeof values);
}
FINETUNE_INLINE void load(const Float16* x, Floats8& values) {  // as one is widened
  Halves8 bits;
  __builtin_memcpy(&bits, x, sizeof bits);
  const Words8 words = __builtin_convertvector(bits, Words8), rest = (words & 0x7FFFU) << 13;
  __builtin_memcpy(&values, &rest, sizeof rest);
  values *= 0x1p112f;
  Words8 scaled;
  __builtin_memcpy(&scaled, &values, sizeof values);
  const Words8 is_unknown = reinterpret_cast<Words8>(rest >= (0x7C00U << 13));
  const Words8 known = (scaled & ~is_unknown) | ((rest | 0x7F800000U) & is_unknown) | (words & 0x8000U) << 16;
  __builtin_memcpy(&values, &known, sizeof known);
}
FINETUNE_INLINE void load(const Bfloat16* x, Floats8& values) { widen<Halves8, Words8>(x, values); }
FINETUNE_INLINE void load(const Bfloat16* x, Floats16& values) { widen<Halves16, Words16>(x, values); }

FINETUNE_INLINE float total(const Floats8& x) {
  return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

/// e^x within 2 units in the last place for |x| <= 87, clamped beyond (Cephes' polynomial).
FINETUNE_INLINE float exponential(float x) {
  x = std::min(87.0f, std::max(-87.0f, x));
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  float n = (x * 1.44269504f + kMagic) - kMagic;
  float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

/// out [n] = e^(x - maximum), and their sum: of float32 in parts, as one sum of a vocabulary would lose 2e-5 of it
/// where vectors are short (most of what is added is small beside what is there).
template <class T>
FINETUNE_INLINE float exponentials(const T* x, std::int64_t n, float maximum, float* out) {
  constexpr std::int64_t kPart = 512;
  double sum = 0;
  for (std::int64_t begin = 0; begin < n; begin += kPart) {
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (std::int64_t i = begin; i < std::min(n, begin + kPart); ++i)
      part += out[i] = exponential(load(x[i]) - maximum);
    sum += part;
  }
  return static_cast<float>(sum);
}

}  // namespace finetune
