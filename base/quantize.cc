// Numbers into blocks of quantised weights, as ggml's own quantiser makes them. Tested by tests/base/quantize_test.cc.
//
// A sum over a group of elements has ggml's order, so groups are computed side by side instead: each lane of a vector
// is a group of its own. The file is compiled without contraction, since a fused multiply-add rounds once less.
#include "base/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/blocks.h"
#include "base/clones.h"
#include "base/error.h"

#define BASE_INLINE [[gnu::always_inline]] inline

namespace base {
namespace {

constexpr std::size_t kLanes = 8;
using Floats = float __attribute__((vector_size(kLanes * 4)));
using Ints = std::int32_t __attribute__((vector_size(kLanes * 4)));

constexpr float kAllZero = 1e-15f;  // below it a group counts as zeros

BASE_INLINE Floats to_floats(Ints values) { return __builtin_convertvector(values, Floats); }
BASE_INLINE Floats magnitude(Floats values) { return std::bit_cast<Floats>(std::bit_cast<Ints>(values) & 0x7fffffff); }

// To the nearest integer, halves to even, by the adder's own rounding; of 22 bits.
BASE_INLINE Ints nearest(Floats values) {
  return (std::bit_cast<Ints>(values + 12582912.0f) & 0x007fffff) - 0x00400000;
}
int nearest(float value) { return (std::bit_cast<std::int32_t>(value + 12582912.0f) & 0x007fffff) - 0x00400000; }

BASE_INLINE Ints clipped(Ints values, int least, int most) {
  values = values < most ? values : Ints{} + most;
  return values > least ? values : Ints{} + least;
}

// Element i of the lanes' groups, which lie one behind the other.
template <std::size_t size>
BASE_INLINE void side_by_side(const float* values, Floats (&lanes)[size]) {
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[i][lane] = values[lane * size + i];
}

// 32 elements a lane, each level * scale - minimum.
struct MinimumFit {
  Ints levels[kSmallBlock];
  Floats scale, minimum;
};

// The weights that errors have: the larger the number, the more.
BASE_INLINE void weigh(const Floats (&x)[kSmallBlock], Floats (&weights)[kSmallBlock]) {
  Floats sum{};
  for (const Floats& value : x) sum += value * value;
  sum /= static_cast<float>(kSmallBlock);
  for (std::size_t lane = 0; lane < kLanes; ++lane) sum[lane] = std::sqrt(sum[lane]);
  for (std::size_t i = 0; i < kSmallBlock; ++i) weights[i] = sum + magnitude(x[i]);
}

// The sum of weighted squares of what is lost.
BASE_INLINE Floats error_of(const Floats (&x)[kSmallBlock], const Floats (&weights)[kSmallBlock],
                            const Ints (&levels)[kSmallBlock], Floats scale, Floats minimum) {
  Floats error{};
  for (std::size_t i = 0; i < kSmallBlock; ++i) {
    const Floats difference = scale * to_floats(levels[i]) + minimum - x[i];
    error += weights[i] * (difference * difference);
  }
  return error;
}

// ggml's make_qkx2_quants: `steps` + 1 widths of a step are tried, from `first` on, each with the scale and the minimum
// that fit its levels best; what is best so far is where the next one starts.
BASE_INLINE void fit_with_minimum(const Floats (&x)[kSmallBlock], int most, float first, int steps, MinimumFit& fit) {
  Floats weights[kSmallBlock];
  weigh(x, weights);
  Floats least = x[0], largest = x[0], sum_weights = weights[0], sum_x = weights[0] * x[0];
  for (std::size_t i = 1; i < kSmallBlock; ++i) {
    least = x[i] < least ? x[i] : least;
    largest = x[i] > largest ? x[i] : largest;
    sum_weights += weights[i];
    sum_x += weights[i] * x[i];
  }
  least = least > 0 ? Floats{} : least;
  const Ints is_flat = largest == least;
  const Floats flat_minimum = least;
  Floats inverse = static_cast<float>(most) / (largest - least);
  fit.scale = 1 / inverse;
  for (std::size_t i = 0; i < kSmallBlock; ++i) fit.levels[i] = clipped(nearest(inverse * (x[i] - least)), 0, most);
  fit.minimum = least;
  Floats best = error_of(x, weights, fit.levels, fit.scale, fit.minimum);
  for (int step = 0; step <= steps; ++step) {
    inverse = (first + 0.1f * static_cast<float>(step) + static_cast<float>(most)) / (largest - fit.minimum);
    Ints levels[kSmallBlock];
    Floats sum_l{}, sum_l2{}, sum_xl{};
    for (std::size_t i = 0; i < kSmallBlock; ++i) {
      levels[i] = clipped(nearest(inverse * (x[i] - fit.minimum)), 0, most);
      const Floats level = to_floats(levels[i]), weighed = weights[i] * level;
      sum_l += weighed;
      sum_l2 += weighed * level;
      sum_xl += weighed * x[i];
    }
    const Floats determinant = sum_weights * sum_l2 - sum_l * sum_l;
    Floats scale = (sum_weights * sum_xl - sum_x * sum_l) / determinant;
    Floats minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    scale = minimum > 0 ? sum_xl / sum_l2 : scale;
    minimum = minimum > 0 ? Floats{} : minimum;
    const Floats error = error_of(x, weights, levels, scale, minimum);
    const Ints is_better = (determinant > 0) & (error < best);
    for (std::size_t i = 0; i < kSmallBlock; ++i) fit.levels[i] = is_better ? levels[i] : fit.levels[i];
    best = is_better ? error : best;
    fit.scale = is_better ? scale : fit.scale;
    fit.minimum = is_better ? minimum : fit.minimum;
  }
  for (Ints& levels : fit.levels) levels = is_flat ? Ints{} : levels;
  fit.scale = is_flat ? Floats{} : fit.scale;
  fit.minimum = -(is_flat ? flat_minimum : fit.minimum);
}

void store_half(float value, std::byte* to) {
  const std::uint16_t half = float_to_half(value);
  std::memcpy(to, &half, 2);
}
float stored_half(const std::byte* from) {
  std::uint16_t half;
  std::memcpy(&half, from, 2);
  return half_to_float(half);
}

// d, dmin and the 12 bytes of 8 scales and 8 minimums of 6 bits. Gives what they are read as.
BASE_INLINE void store_scales(const Floats& scales, const Floats& minimums, std::byte* block, Floats& d, Floats& dm) {
  float largest_scale = 0, largest_minimum = 0;
  for (std::size_t j = 0; j < kLanes; ++j) {
    largest_scale = std::max(largest_scale, scales[j]);
    largest_minimum = std::max(largest_minimum, minimums[j]);
  }
  const float inverse_scale = largest_scale > 0 ? 63.0f / largest_scale : 0.0f;
  const float inverse_minimum = largest_minimum > 0 ? 63.0f / largest_minimum : 0.0f;
  store_half(largest_scale / 63.0f, block);
  store_half(largest_minimum / 63.0f, block + 2);
  std::array<std::uint8_t, 12> packed{};
  for (std::size_t j = 0; j < kLanes; ++j) {
    const int scale = std::min<int>(63, static_cast<std::uint8_t>(nearest(inverse_scale * scales[j])));
    const int minimum = std::min<int>(63, static_cast<std::uint8_t>(nearest(inverse_minimum * minimums[j])));
    if (j < 4) {
      packed[j] = static_cast<std::uint8_t>(scale);
      packed[j + 4] = static_cast<std::uint8_t>(minimum);
    } else {
      packed[j + 4] = static_cast<std::uint8_t>((scale & 15) | (minimum & 15) << 4);
      packed[j - 4] = static_cast<std::uint8_t>(packed[j - 4] | scale >> 4 << 6);
      packed[j] = static_cast<std::uint8_t>(packed[j] | minimum >> 4 << 6);
    }
    d[j] = stored_half(block) * static_cast<float>(scale);
    dm[j] = stored_half(block + 2) * static_cast<float>(minimum);
  }
  std::memcpy(block + 4, packed.data(), packed.size());
}

// Nibbles, and the fifth bits where there are such.
BASE_INLINE void store_levels(const Ints (&levels)[kSmallBlock], bool five_bits, std::byte* block) {
  std::byte *high = block + 16, *quants = block + (five_bits ? 48 : 16);
  for (std::size_t i = 0; i < kSmallBlock; ++i) {
    int fifth = 0;
    for (std::size_t group = 0; group < kLanes; group += 2) {
      const int low = levels[i][group], up = levels[i][group + 1];
      quants[group / 2 * 32 + i] = static_cast<std::byte>((low & 15) | (up & 15) << 4);
      fifth |= (low >> 4) << group | (up >> 4) << (group + 1);
    }
    if (five_bits) high[i] = static_cast<std::byte>(fifth);
  }
}

// One super-block.
BASE_CLONES void quantize_q4_k_or_q5_k(const float* values, bool five_bits, std::byte* block) {
  const int most = five_bits ? 31 : 15;
  Floats x[kSmallBlock];
  side_by_side(values, x);
  MinimumFit fit;
  fit_with_minimum(x, most, five_bits ? -0.5f : -1.0f, five_bits ? 15 : 20, fit);
  Floats d, dm;
  store_scales(fit.scale, fit.minimum, block, d, dm);
  for (std::size_t i = 0; i < kSmallBlock; ++i) {
    const Ints levels = clipped(nearest((x[i] + dm) / d), 0, most);
    fit.levels[i] = d == 0 ? fit.levels[i] : levels;
  }
  store_levels(fit.levels, five_bits, block);
}

constexpr std::size_t kSmallGroup = 16;  // elements of a group of Q6_K

// ggml's make_qx_quants with the weights x * x: 19 widths of a step are tried. Levels are 0 to 2 * half - 1.
BASE_INLINE Floats fit_symmetric(const Floats (&x)[kSmallGroup], int half, Ints (&levels)[kSmallGroup]) {
  Floats largest{}, largest_magnitude{};
  for (const Floats& value : x) {
    const Floats size = magnitude(value);
    const Ints is_larger = size > largest_magnitude;
    largest_magnitude = is_larger ? size : largest_magnitude;
    largest = is_larger ? value : largest;
  }
  const Ints is_zero = largest_magnitude < kAllZero;
  Floats scale{}, best{};
  for (int step = -10; step <= 9; ++step) {  // the first is the plain one
    if (step == 0) continue;
    const bool is_first{step == -10};
    const float steps = static_cast<float>(half) + (is_first ? 0.0f : 0.1f * static_cast<float>(step));
    const Floats inverse = -steps / largest;
    Ints tried[kSmallGroup];
    Floats sum_lx{}, sum_l2{};
    for (std::size_t i = 0; i < kSmallGroup; ++i) {
      tried[i] = clipped(nearest(inverse * x[i]), -half, half - 1);
      const Floats weight = x[i] * x[i], level = to_floats(tried[i]);
      sum_lx += weight * x[i] * level;
      sum_l2 += weight * level * level;
    }
    const Ints is_better = is_first ? Ints{} == 0 : (sum_l2 > 0) & (sum_lx * sum_lx > best * sum_l2);
    const Floats fitting = sum_l2 != 0 ? sum_lx / sum_l2 : Floats{};
    scale = is_better ? fitting : scale;
    best = is_better ? fitting * sum_lx : best;
    for (std::size_t i = 0; i < kSmallGroup; ++i) levels[i] = is_better ? tried[i] + half : levels[i];
  }
  for (Ints& level : levels) level = is_zero ? Ints{} : level;
  return is_zero ? Floats{} : scale;
}

void store_q6_levels(const std::int32_t* levels, std::byte* block) {
  for (std::size_t half = 0; half < 2; ++half)
    for (std::size_t i = 0; i < 32; ++i) {
      const std::int32_t* e = levels + half * 128 + i;
      block[half * 64 + i] = static_cast<std::byte>((e[0] & 15) | (e[64] & 15) << 4);
      block[half * 64 + 32 + i] = static_cast<std::byte>((e[32] & 15) | (e[96] & 15) << 4);
      block[128 + half * 32 + i] =
          static_cast<std::byte>(e[0] >> 4 | e[32] >> 4 << 2 | e[64] >> 4 << 4 | e[96] >> 4 << 6);
    }
}

// One super-block: two halves of 8 groups.
BASE_CLONES void quantize_q6_k(const float* values, std::byte* block) {
  Floats x[2][kSmallGroup], scales[2];
  Ints levels[2][kSmallGroup] = {};
  float largest = 0;
  for (std::size_t half = 0; half < 2; ++half) {
    side_by_side(values + half * kSuperBlock / 2, x[half]);
    scales[half] = fit_symmetric(x[half], 32, levels[half]);
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      if (std::fabs(scales[half][lane]) > std::fabs(largest)) largest = scales[half][lane];
  }
  if (std::fabs(largest) < kAllZero) {
    std::memset(block, 0, block_bytes(DType::kQ6_K));
    return;
  }
  const float inverse = -128.0f / largest;
  store_half(1 / inverse, block + 208);
  std::int32_t in_order[kSuperBlock];
  for (std::size_t half = 0; half < 2; ++half) {
    Floats d;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto scale = static_cast<std::int8_t>(std::min(127, nearest(inverse * scales[half][lane])));
      std::memcpy(block + 192 + half * kLanes + lane, &scale, 1);
      d[lane] = stored_half(block + 208) * static_cast<float>(scale);
    }
    for (std::size_t i = 0; i < kSmallGroup; ++i) {
      const Ints found = clipped(nearest(x[half][i] / d), -32, 31) + 32, level = d == 0 ? levels[half][i] : found;
      for (std::size_t lane = 0; lane < kLanes; ++lane)
        in_order[(half * kLanes + lane) * kSmallGroup + i] = level[lane];
    }
  }
  store_q6_levels(in_order, block);
}

// Q4_0 and Q5_0: the number of the largest magnitude is the lowest level.
void quantize_symmetric(const float* x, int half, int* levels, std::byte* block) {
  float largest = 0;
  for (std::size_t j = 0; j < kSmallBlock; ++j)
    if (std::fabs(largest) < std::fabs(x[j])) largest = x[j];
  const float d = largest / static_cast<float>(-half);
  float inverse = d == 0 ? 0 : 1 / d;
  if (!std::isfinite(inverse)) inverse = 0;  // d is subnormal: as a half it is zero, whatever the levels
  store_half(d, block);
  for (std::size_t j = 0; j < kSmallBlock; ++j)
    levels[j] = std::min(2 * half - 1, static_cast<int>(x[j] * inverse + (static_cast<float>(half) + 0.5f)));
}

// Q4_1 and Q5_1.
void quantize_with_minimum(const float* x, int most, int* levels, std::byte* block) {
  const auto [least, largest] = std::minmax_element(x, x + kSmallBlock);
  const float d = (*largest - *least) / static_cast<float>(most);
  float inverse = d == 0 ? 0 : 1 / d;
  if (!std::isfinite(inverse)) inverse = 0;
  store_half(d, block);
  store_half(*least, block + 2);
  for (std::size_t j = 0; j < kSmallBlock; ++j)
    levels[j] = std::min(most, static_cast<int>((x[j] - *least) * inverse + 0.5f));
}

void store_nibbles(const int* levels, std::byte* to) {
  for (std::size_t j = 0; j < 16; ++j) to[j] = static_cast<std::byte>((levels[j] & 15) | (levels[j + 16] & 15) << 4);
}

void store_fifth_bits(const int* levels, std::byte* to) {
  std::uint32_t bits = 0;
  for (std::size_t j = 0; j < kSmallBlock; ++j) bits |= static_cast<std::uint32_t>(levels[j] >> 4) << j;
  std::memcpy(to, &bits, 4);
}

void quantize_block(DType type, const float* x, std::byte* block) {
  int levels[kSmallBlock];
  switch (type) {
    case DType::kQ4_0:
      quantize_symmetric(x, 8, levels, block);
      return store_nibbles(levels, block + 2);
    case DType::kQ4_1:
      quantize_with_minimum(x, 15, levels, block);
      return store_nibbles(levels, block + 4);
    case DType::kQ5_0:
      quantize_symmetric(x, 16, levels, block);
      store_fifth_bits(levels, block + 2);
      return store_nibbles(levels, block + 6);
    case DType::kQ5_1:
      quantize_with_minimum(x, 31, levels, block);
      store_fifth_bits(levels, block + 4);
      return store_nibbles(levels, block + 8);
    case DType::kQ4_K:
    case DType::kQ5_K:
      return quantize_q4_k_or_q5_k(x, type == DType::kQ5_K, block);
    case DType::kQ6_K:
      return quantize_q6_k(x, block);
    default:
      return quantize_q8_0(x, block);
  }
}

void check_values(DType type, std::span<const float> values) {
  const float most = largest_of(type);
  for (const float value : values)
    if (!(std::fabs(value) <= most))
      throw Error({fmt::format("cannot quantize to {}", name_of(type)), "", fmt::format("{}", value),
                   fmt::format("finite numbers up to {}", most), "choose F32"});
}

}  // namespace

bool can_quantize(DType type) {
  constexpr std::array kTypes = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                 DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

// What a half holds, times the steps that it scales; a minimum is a half of its own.
float largest_of(DType type) {
  constexpr float kHalf = 65504;
  return type == DType::kQ8_0   ? kHalf * 127
         : type == DType::kQ4_0 ? kHalf * 8
         : type == DType::kQ5_0 ? kHalf * 16
                                : kHalf;
}

void quantize(DType type, std::span<const float> values, std::byte* blocks) {
  check_values(type, values);
  const std::size_t elements = block_elements(type), bytes = block_bytes(type);
  for (std::size_t i = 0; i < values.size() / elements; ++i)
    quantize_block(type, &values[i * elements], blocks + i * bytes);
}

}  // namespace base
