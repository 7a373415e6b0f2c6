// Products with blocks as ggml lays them (struct block_* in ggml-common.h). Tested by tests/finetune/quantized_test.cc.
#include "finetune/weights/block_dots.h"

#include <cstring>

#include "base/blocks.h"
#include "finetune/kernels/vector_math.h"

namespace finetune {
namespace {

using Bytes16 = std::uint8_t __attribute__((vector_size(16)));
using Signed16 = std::int8_t __attribute__((vector_size(16)));
using Bytes8 = std::uint8_t __attribute__((vector_size(8)));
using Signed8 = std::int8_t __attribute__((vector_size(8)));
using Numbers8 = std::int32_t __attribute__((vector_size(32)));

// Sixteen sums in halves: GCC 12 keeps vectors of sixteen in memory where the processor has them of eight.
struct Sums {
  Floats8 halves[2] = {};

  FINETUNE_INLINE void add(const Sums& other, float factor) {
    halves[0] += other.halves[0] * factor;
    halves[1] += other.halves[1] * factor;
  }
  FINETUNE_INLINE float sum() const {
    Floats16 all;
    std::memcpy(&all, halves, sizeof all);
    return total(all);
  }
};

FINETUNE_INLINE float half_at(const std::byte* from) {
  _Float16 half;
  std::memcpy(&half, from, sizeof half);
  return static_cast<float>(half);
}

template <class Bytes>
FINETUNE_INLINE void load(const std::byte* from, Bytes& bytes) {
  std::memcpy(&bytes, from, sizeof bytes);
}

// sums += x q of the first eight bytes. GCC 12 widens bytes one by one unless it sees nothing but a register.
template <class Eight, class Bytes>
FINETUNE_INLINE void add_eight(const float* x, Bytes q, Floats8& sums) {
#ifdef __x86_64__
  asm("" : "+x"(q));
#endif
  const Eight bytes = __builtin_shufflevector(q, q, 0, 1, 2, 3, 4, 5, 6, 7);
  Floats8 values;
  finetune::load(x, values);
  sums += values * __builtin_convertvector(__builtin_convertvector(bytes, Numbers8), Floats8);
}

// sums += x q of sixteen bytes, with a sign or without.
template <class Eight = Bytes8, class Bytes>
FINETUNE_INLINE void add(const float* x, const Bytes& q, Sums& sums) {
  const Bytes upper = __builtin_shufflevector(q, q, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
  add_eight<Eight>(x, q, sums.halves[0]);
  add_eight<Eight>(x + 8, upper, sums.halves[1]);
}

// `at` bytes of nibbles behind the head of a block of 32; `minimum` behind the scale, else numbers count from -8.
template <bool has_minimum>
FINETUNE_INLINE float dot_of_nibbles(const std::byte* row, const float* x, const float* sums, std::int64_t count) {
  constexpr std::int64_t kHead = has_minimum ? 4 : 2;
  Sums all;
  float offsets = 0;
  for (std::int64_t i = 0; i < count; i += 32, row += kHead + 16, x += 32, sums += 2) {
    Bytes16 pairs;
    load(row + kHead, pairs);
    Sums sum;
    add(x, pairs & 15, sum);
    add(x + 16, pairs >> 4, sum);
    const float d = half_at(row), offset = has_minimum ? half_at(row + 2) : -8 * d;
    all.add(sum, d);
    offsets += offset * (sums[0] + sums[1]);
  }
  return all.sum() + offsets;
}
BASE_CLONES float dot_q4_0(const std::byte* row, const float* x, const float* sums, std::int64_t count) {
  return dot_of_nibbles<false>(row, x, sums, count);
}
BASE_CLONES float dot_q4_1(const std::byte* row, const float* x, const float* sums, std::int64_t count) {
  return dot_of_nibbles<true>(row, x, sums, count);
}

BASE_CLONES float dot_q8_0(const std::byte* row, const float* x, const float*, std::int64_t count) {
  Sums all;
  for (std::int64_t i = 0; i < count; i += 32, row += 34, x += 32) {
    Signed16 low, high;
    load(row + 2, low);
    load(row + 18, high);
    Sums sum;
    add<Signed8>(x, low, sum);
    add<Signed8>(x + 16, high, sum);
    all.add(sum, half_at(row));
  }
  return all.sum();
}

// d, dmin, 12 bytes of scales, [32 bytes of fifth bits,] 128 bytes of nibbles: 32 bytes hold two groups of 32.
template <bool five_bits>
FINETUNE_INLINE float dot_of_super(const std::byte* row, const float* x, const float* sums, std::int64_t count) {
  constexpr std::int64_t kQuants = five_bits ? 48 : 16;
  Sums all;
  float minimums = 0;
  for (std::int64_t i = 0; i < count; i += 256, row += kQuants + 128) {
    const float d = half_at(row), dmin = half_at(row + 2);
    for (std::size_t group = 0; group < 8; ++group, x += 32, sums += 2) {
      const auto [scale, minimum] = base::scale_and_minimum(row + 4, group);
      Sums sum;
      for (std::size_t half = 0; half < 32; half += 16) {
        Bytes16 q;
        load(row + kQuants + group / 2 * 32 + half, q);
        q = group % 2 == 0 ? q & 15 : q >> 4;
        if constexpr (five_bits) {
          Bytes16 high;
          load(row + 16 + half, high);
          q |= (high >> static_cast<std::uint8_t>(group) & 1) << 4;
        }
        add(x + half, q, sum);
      }
      all.add(sum, d * scale);
      minimums += dmin * minimum * (sums[0] + sums[1]);
    }
  }
  return all.sum() - minimums;
}
BASE_CLONES float dot_q4_k(const std::byte* row, const float* x, const float* sums, std::int64_t count) {
  return dot_of_super<false>(row, x, sums, count);
}
BASE_CLONES float dot_q5_k(const std::byte* row, const float* x, const float* sums, std::int64_t count) {
  return dot_of_super<true>(row, x, sums, count);
}

// 128 bytes of nibbles, 64 bytes of the upper two bits, 16 scales of 8 bits, d: groups of 16, numbers from -32.
BASE_CLONES float dot_q6_k(const std::byte* row, const float* x, const float* sums, std::int64_t count) {
  Sums all;
  float offsets = 0;
  for (std::int64_t i = 0; i < count; i += 256, row += 210) {
    const float d = half_at(row + 208);
    for (std::size_t group = 0; group < 16; ++group, x += 16, ++sums) {
      const std::size_t half = group / 8, place = group % 8 * 16;
      Bytes16 low, high;
      load(row + half * 64 + place % 64, low);
      load(row + 128 + half * 32 + place % 32, high);
      low = place < 64 ? low & 15 : low >> 4;
      Sums sum;
      add(x, low | (high >> static_cast<std::uint8_t>(place / 32 * 2) & 3) << 4, sum);
      const float scale = d * static_cast<float>(static_cast<std::int8_t>(row[192 + group]));
      all.add(sum, scale);
      offsets += scale * *sums;
    }
  }
  return all.sum() - 32 * offsets;
}

}  // namespace

BlockDot block_dot(base::DType type) {
  switch (type) {
    case base::DType::kQ4_0:
      return dot_q4_0;
    case base::DType::kQ4_1:
      return dot_q4_1;
    case base::DType::kQ8_0:
      return dot_q8_0;
    case base::DType::kQ4_K:
      return dot_q4_k;
    case base::DType::kQ5_K:
      return dot_q5_k;
    case base::DType::kQ6_K:
      return dot_q6_k;
    default:
      return nullptr;
  }
}

}  // namespace finetune
