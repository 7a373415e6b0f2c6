// Products with blocks as ggml lays them (struct block_* in ggml-common.h). Tested by tests/finetune/quantized_test.cc.
#include "finetune/weights/block_dots.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>

#include "finetune/kernels/vector_math.h"

namespace finetune {
namespace {

using Bytes16 = std::uint8_t __attribute__((vector_size(16)));
using Signed16 = std::int8_t __attribute__((vector_size(16)));
using Signed8 = std::int8_t __attribute__((vector_size(8)));
using Bytes8 = std::uint8_t __attribute__((vector_size(8)));
using Numbers8 = std::int32_t __attribute__((vector_size(32)));
using Words4 = std::uint32_t __attribute__((vector_size(16)));

constexpr int kAhead = 1024;  // bytes that are asked for early: the processor's own reading ahead is too late here
constexpr int kLanes = 8;     // words of a vector: 32 bytes
#define FINETUNE_FLAT __attribute__((always_inline))

FINETUNE_INLINE float half_at(const std::byte* from, const BlockVector& x) {
  std::uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return x.halves[half];
}

template <class Vector>
FINETUNE_INLINE void load(const void* from, Vector& vector) {
  std::memcpy(&vector, from, sizeof vector);
}

template <class To, class From>
FINETUNE_INLINE void same_bits(const From& from, To& to) {
  static_assert(sizeof from == sizeof to);
  std::memcpy(&to, &from, sizeof to);
}

// Whole numbers below 2^31.
FINETUNE_INLINE void to_floats(const Words8& words, Floats8& values) {
  Numbers8 numbers;
  same_bits(words, numbers);
  values = __builtin_convertvector(numbers, Floats8);
}

// Sixteen bytes. GCC 12 widens them one by one unless it sees nothing but a register.
template <class Eight, class Sixteen>
FINETUNE_INLINE void to_floats(Sixteen bytes, Floats8& lower, Floats8& upper) {
#ifdef __x86_64__
  asm("" : "+x"(bytes));
#endif
  Sixteen last = __builtin_shufflevector(bytes, bytes, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
#ifdef __x86_64__
  asm("" : "+x"(last));
#endif
  const Eight one = __builtin_shufflevector(bytes, bytes, 0, 1, 2, 3, 4, 5, 6, 7);
  const Eight two = __builtin_shufflevector(last, last, 0, 1, 2, 3, 4, 5, 6, 7);
  lower = __builtin_convertvector(__builtin_convertvector(one, Numbers8), Floats8);
  upper = __builtin_convertvector(__builtin_convertvector(two, Numbers8), Floats8);
}

// Of 32 bytes, each of fewer than 7 bits, times the numbers of 32 of BlockVector::by_byte. A word whose other bytes are
// masked is a whole number with few bits at any place: it becomes a float exactly, and without a widening of bytes.
FINETUNE_INLINE void multiply(const Words8& words, const float* by_byte, Floats8& sums) {
  Floats8 x[4], q[4];
#pragma GCC unroll 4
  for (int byte = 0; byte < 4; ++byte) {
    finetune::load(by_byte + 8 * byte, x[byte]);
    to_floats(words & (0x7FU << (8 * byte)), q[byte]);
  }
  Floats8 one = x[0] * q[0], two = x[1] * q[1];
  one += x[2] * q[2];
  two += x[3] * q[3];
  sums = one + two;
}

// 16 bytes of nibbles -> 32 bytes: the lower ones of all, then the upper ones.
FINETUNE_INLINE void load_nibbles(const std::byte* from, Words8& words) {
  constexpr Words8 kShifts = {0, 0, 0, 0, 4, 4, 4, 4};
  Words4 half;
  load(from, half);
  words = __builtin_shufflevector(half, half, 0, 1, 2, 3, 0, 1, 2, 3) >> kShifts & 0x0F0F0F0FU;
}

// Blocks of 32 numbers behind a scale and perhaps a minimum; else numbers count from `offset` scales.
// multiply(bytes, i, sums) adds x q of block i, whose quants lie at `bytes`.
template <std::size_t size, bool has_minimum, class Multiply>
FINETUNE_INLINE float dot_of_small(const std::byte* row, const BlockVector& x, float offset, Multiply&& multiply) {
  constexpr std::size_t kHead = has_minimum ? 4 : 2;
  Floats8 sums = {};
  float offsets = 0;
  for (std::size_t i = 0; i < x.sums_of_32.size(); ++i, row += size) {
    Floats8 block = {};
    __builtin_prefetch(row + kAhead);
    multiply(row + kHead, i, block);
    const float d = half_at(row, x);
    sums += block * d;
    if (has_minimum || offset != 0) offsets += (has_minimum ? half_at(row + 2, x) : d) * x.sums_of_32[i];
  }
  return total(sums) + offset * offsets;
}

// As dot_of_small has them: a minimum, or -8 times the scale.
template <std::size_t size, bool has_minimum>
FINETUNE_INLINE float dot_of_nibbles(const std::byte* row, const BlockVector& x) {
  return dot_of_small<size, has_minimum>(row, x, has_minimum ? 1 : -8,
                                         [&](const std::byte* from, std::size_t block, Floats8& sums) FINETUNE_FLAT {
                                           Words8 words;
                                           load_nibbles(from, words);
                                           multiply(words, x.by_byte[2 * block].numbers, sums);
                                         });
}
BASE_CLONES void times_q4_0(const std::byte* row, std::int64_t stride, const BlockVector& x, std::span<float> y) {
  for (float& out : y) out = dot_of_nibbles<18, false>(row, x), row += stride;
}
BASE_CLONES void times_q4_1(const std::byte* row, std::int64_t stride, const BlockVector& x, std::span<float> y) {
  for (float& out : y) out = dot_of_nibbles<20, true>(row, x), row += stride;
}

FINETUNE_INLINE float dot_of_bytes(const std::byte* row, const BlockVector& x) {
  return dot_of_small<34, false>(row, x, 0, [&](const std::byte* from, std::size_t block, Floats8& sums) FINETUNE_FLAT {
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 32; half += 16) {
      Signed16 bytes;
      load(from + half, bytes);
      Floats8 lower, upper, numbers;
      to_floats<Signed8>(bytes, lower, upper);
      finetune::load(x.values.data() + 32 * block + half, numbers);
      sums += numbers * lower;
      finetune::load(x.values.data() + 32 * block + half + 8, numbers);
      sums += numbers * upper;
    }
  });
}
BASE_CLONES void times_q8_0(const std::byte* row, std::int64_t stride, const BlockVector& x, std::span<float> y) {
  for (float& out : y) out = dot_of_bytes(row, x), row += stride;
}

// Eight scales and eight minimums of 6 bits in the 12 bytes of Q4_K and Q5_K, as base::scale_and_minimum says.
FINETUNE_INLINE void load_scales(const std::byte* from, Floats8& scales, Floats8& minimums) {
  std::uint32_t words[3];
  load(from, words);
  constexpr std::uint32_t kSix = 0x3F3F3F3F, kFour = 0x0F0F0F0F, kTwo = 0x03030303;
  const std::uint32_t packed[4] = {words[0] & kSix, (words[2] & kFour) | ((words[0] >> 6 & kTwo) << 4), words[1] & kSix,
                                   (words[2] >> 4 & kFour) | ((words[1] >> 6 & kTwo) << 4)};
  Bytes16 bytes;
  load(packed, bytes);
  to_floats<Bytes8>(bytes, scales, minimums);
}

// d, dmin, 12 bytes of scales, [32 bytes of fifth bits,] 128 bytes of nibbles: 32 bytes hold two groups of 32.
template <bool five_bits>
FINETUNE_INLINE float dot_of_super(const std::byte* row, const BlockVector& x) {
  constexpr std::size_t kQuants = five_bits ? 48 : 16;
  Floats8 sums = {}, minimums = {};
  const float* by_byte = x.by_byte[0].numbers;
  for (std::size_t block = 0; block < x.sums_of_32.size(); block += kLanes, row += kQuants + 128) {
    Floats8 scales, of_minimums, sums_of_x;
    load_scales(row + 4, scales, of_minimums);
    finetune::load(x.sums_of_32.data() + block, sums_of_x);
    minimums += of_minimums * half_at(row + 2, x) * sums_of_x;
    float scale[kLanes];
    scales *= half_at(row, x);
    std::memcpy(scale, &scales, sizeof scale);
    [[maybe_unused]] Words8 fifth;
    if constexpr (five_bits) load(row + 16, fifth);
#pragma GCC unroll 8
    for (int group = 0; group < kLanes; ++group, by_byte += 32) {
      Words8 words;
      if (group % 2 == 0) __builtin_prefetch(row + kAhead + group * 16);
      load(row + kQuants + group / 2 * 32, words);
      words = words >> group % 2 * 4 & 0x0F0F0F0FU;
      if constexpr (five_bits) words |= (fifth >> group & 0x01010101U) << 4;
      Floats8 of_group = {};
      multiply(words, by_byte, of_group);
      sums += of_group * scale[group];
    }
  }
  return total(sums - minimums);
}
BASE_CLONES void times_q4_k(const std::byte* row, std::int64_t stride, const BlockVector& x, std::span<float> y) {
  for (float& out : y) out = dot_of_super<false>(row, x), row += stride;
}
BASE_CLONES void times_q5_k(const std::byte* row, std::int64_t stride, const BlockVector& x, std::span<float> y) {
  for (float& out : y) out = dot_of_super<true>(row, x), row += stride;
}

// 128 bytes of nibbles, 64 bytes of the upper two bits, 16 scales of 8 bits, d: groups of 16, numbers from -32.
FINETUNE_INLINE float dot_of_six_bits(const std::byte* row, const BlockVector& x) {
  Floats8 sums = {}, offsets = {};
  const float* by_byte = x.by_byte[0].numbers;
  for (std::size_t block = 0; block < x.sums_of_16.size(); block += 16, row += 210) {
    const float d = half_at(row + 208, x);
    Signed16 bytes;
    load(row + 192, bytes);
    Floats8 lower, upper, numbers;
    to_floats<Signed8>(bytes, lower, upper);
    lower *= d, upper *= d;
    finetune::load(x.sums_of_16.data() + block, numbers);
    offsets += lower * numbers;
    finetune::load(x.sums_of_16.data() + block + 8, numbers);
    offsets += upper * numbers;
    float scale[16];
    std::memcpy(scale, &lower, sizeof lower);
    std::memcpy(scale + 8, &upper, sizeof upper);
#pragma GCC unroll 8
    for (int part = 0; part < 8; ++part, by_byte += 32) {  // 32 numbers, two groups
      const int place = part % 4;
      Words8 low, high;
      if (part % 2 == 0) __builtin_prefetch(row + kAhead + part * 24);
      load(row + part / 4 * 64 + place % 2 * 32, low);
      load(row + 128 + part / 4 * 32, high);
      const Words8 words = (low >> place / 2 * 4 & 0x0F0F0F0FU) | ((high >> place * 2 & 0x03030303U) << 4);
      Floats8 of_part = {};
      multiply(words, by_byte, of_part);
      const float first = scale[2 * part], second = scale[2 * part + 1];
      sums += of_part * Floats8{first, first, first, first, second, second, second, second};
    }
  }
  return total(sums - 32 * offsets);
}
BASE_CLONES void times_q6_k(const std::byte* row, std::int64_t stride, const BlockVector& x, std::span<float> y) {
  for (float& out : y) out = dot_of_six_bits(row, x), row += stride;
}

std::vector<float> sums_of(std::span<const float> x, std::size_t count) {
  std::vector<float> sums;
  for (std::size_t i = 0; i < x.size(); i += count)
    sums.push_back(std::accumulate(x.begin() + static_cast<std::ptrdiff_t>(i),
                                   x.begin() + static_cast<std::ptrdiff_t>(i + count), 0.0F));
  return sums;
}

// A conversion has four instructions where it has one, and takes half of a block's time.
const float* table_of_halves() {
  static const std::vector<float> table = [] {
    std::vector<float> all(1 << 16);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = base::half_to_float(static_cast<std::uint16_t>(i));
    return all;
  }();
  return table.data();
}

}  // namespace

BlockVector::BlockVector(std::span<const float> x) : values(x.begin(), x.end()), halves(table_of_halves()) {
  if (x.size() % 32 != 0) return;
  constexpr float kPlaces[] = {1, 0x1p-8F, 0x1p-16F, 0x1p-24F};
  by_byte.resize(x.size() / 16);
  for (std::size_t i = 0; i < x.size(); ++i)
    by_byte[0].numbers[i / 32 * 32 + i % 4 * 8 + i % 32 / 4] = x[i] * kPlaces[i % 4];
  sums_of_16 = sums_of(x, 16), sums_of_32 = sums_of(x, 32);
}

BlockTimes block_times(base::DType type) {
  switch (type) {
    case base::DType::kQ4_0:
      return times_q4_0;
    case base::DType::kQ4_1:
      return times_q4_1;
    case base::DType::kQ8_0:
      return times_q8_0;
    case base::DType::kQ4_K:
      return times_q4_k;
    case base::DType::kQ5_K:
      return times_q5_k;
    case base::DType::kQ6_K:
      return times_q6_k;
    default:
      return nullptr;
  }
}

}  // namespace finetune
