// Products and attention of one row. Tested by tests/finetune/kernels_test.cc and generate_test.cc.
#include "finetune/kernels/one_row.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "finetune/kernels/tiles.h"

namespace finetune::one_row {
namespace {

constexpr std::int64_t kTile = std::int64_t{1} << 16;  // numbers that a thread reads at a time

// x as the products with rows of T read it: of bfloat16 the even ones of each sixteen, then the odd ones. Eight words
// of two are widened by a shift and a mask, without the moves of a vector's halves that the widening of neighbours
// takes.
template <class T>
std::vector<float> ordered(const float* x, std::int64_t depth) {
  std::vector<float> order(x, x + depth);
  if constexpr (std::is_same_v<T, Bfloat16>)
    for (std::int64_t i = 0; i + 16 <= depth; i += 16)
      for (std::int64_t j = 0; j < 16; ++j) order[static_cast<std::size_t>(i + j % 2 * 8 + j / 2)] = x[i + j];
  return order;
}

// Sixteen of w, in that order.
FINETUNE_INLINE void load_sixteen(const float* w, Floats8& first, Floats8& last) { load(w, first), load(w + 8, last); }
FINETUNE_INLINE void load_sixteen(const Bfloat16* w, Floats8& even, Floats8& odd) {
  __builtin_prefetch(w + 512);  // 1 kB ahead, which the processor's own reading ahead does not reach at once
  Words8 words;
  __builtin_memcpy(&words, w, sizeof words);
  const Words8 lower = words << 16, upper = words & 0xFFFF0000U;
  __builtin_memcpy(&even, &lower, sizeof even);
  __builtin_memcpy(&odd, &upper, sizeof odd);
}

// Eight sums of eight: one stream of memory, which the processor reads ahead (four rows at once took twice as long).
template <class T>
FINETUNE_INLINE float dot_of(const float* x, const T* w, std::int64_t depth) {
  Floats8 sums[8] = {};
  std::int64_t i = 0;
  for (; i + 64 <= depth; i += 64) {
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) {
      Floats8 left, right, first, last;
      load_sixteen(w + i + 16 * part, first, last);
      load(x + i + 16 * part, left);
      load(x + i + 16 * part + 8, right);
      sums[2 * part] += left * first;
      sums[2 * part + 1] += right * last;
    }
  }
  for (; i + 16 <= depth; i += 16) {
    Floats8 left, right, first, last;
    load_sixteen(w + i, first, last);
    load(x + i, left);
    load(x + i + 8, right);
    sums[0] += left * first;
    sums[1] += right * last;
  }
  float sum = total(((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7])));
  for (; i < depth; ++i) sum += x[i] * load(w[i]);
  return sum;
}
BASE_CLONES float dot(const float* x, const float* w, std::int64_t depth) { return dot_of(x, w, depth); }
BASE_CLONES float dot(const float* x, const Bfloat16* w, std::int64_t depth) { return dot_of(x, w, depth); }

template <class T>
FINETUNE_INLINE void add_scaled_of(float factor, const T* x, std::int64_t n, float* sums) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) sums[i] += factor * load(x[i]);
}
BASE_CLONES void add_scaled(float factor, const float* x, std::int64_t n, float* sums) {
  add_scaled_of(factor, x, n, sums);
}
BASE_CLONES void add_scaled(float factor, const Bfloat16* x, std::int64_t n, float* sums) {
  add_scaled_of(factor, x, n, sums);
}

// Of scores [n]: e^(score - largest), and their sum.
BASE_CLONES float exponentials(float* scores, std::int64_t n) {
  float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
  for (std::int64_t i = 0; i < n; ++i) largest = std::max(largest, scores[i]);
  return finetune::exponentials(scores, n, largest, scores);
}

template <class T>
void product_in(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added) {
  const std::int64_t rows{w.size(0)}, depth{w.size(1)};
  const at::Tensor wide = x.to(at::kFloat), plus = added.defined() ? added.to(x.scalar_type()).contiguous() : added;
  const std::vector<float> in = ordered<T>(wide.const_data_ptr<float>(), depth);
  const auto* matrix = static_cast<const T*>(w.const_data_ptr());
  const auto* bias = plus.defined() ? static_cast<const T*>(plus.const_data_ptr()) : nullptr;
  auto* out = static_cast<T*>(y.mutable_data_ptr());
  const std::int64_t step{std::max<std::int64_t>(1, kTile / depth)};
  take_turns((rows + step - 1) / step, [&] {
    return [&](std::int64_t tile) {
      const std::int64_t end{std::min(rows, (tile + 1) * step)};
      for (std::int64_t row = tile * step; row < end; ++row)
        store(out[row], dot(in.data(), matrix + row * depth, depth) + (bias ? load(bias[row]) : 0));
    };
  });
}

// What a query [depth] sees of one key head, from key `first` on: `scores` has room for all.
template <class T>
void attend(const float* query, const T* keys, const T* values, std::int64_t first, std::int64_t all,
            const AttentionShape& shape, float slope, float scale, std::vector<float>& scores, T* out) {
  const std::int64_t depth{shape.head_dim}, count{all - first};
  const auto cap = static_cast<float>(shape.softcap);
  const std::vector<float> in = ordered<T>(query, depth);
  for (std::int64_t i = 0; i < count; ++i) {
    float score = dot(in.data(), keys + (first + i) * depth, depth) * scale;
    if (cap != 0) score = cap * std::tanh(score / cap);
    // As attention of many rows adds it: slope and place in bfloat16, scaled like the products.
    if (slope != 0) score += rounded<Bfloat16>(slope * rounded<Bfloat16>(static_cast<float>(first + i))) * scale;
    scores[i] = score;
  }
  const float sum = exponentials(scores.data(), count);
  std::vector<float> sums(static_cast<std::size_t>(depth));
  for (std::int64_t i = 0; i < count; ++i) add_scaled(scores[i], values + (first + i) * depth, depth, sums.data());
  for (std::int64_t i = 0; i < depth; ++i) store(out[i], sums[i] / sum);
}

template <class T>
void attention_in(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, std::int64_t all,
                  const AttentionShape& shape, at::Tensor& result) {
  const at::Tensor wide = q.to(at::kFloat).contiguous();
  const float* queries = wide.const_data_ptr<float>();
  const auto *key = static_cast<const T*>(keys.const_data_ptr()),
             *value = static_cast<const T*>(values.const_data_ptr());
  auto* out = static_cast<T*>(result.mutable_data_ptr());
  const std::int64_t first{shape.window == 0 ? 0 : std::max<std::int64_t>(0, all - shape.window)};
  const std::int64_t group{shape.heads / shape.kv_heads},
      grain{std::max<std::int64_t>(1, kTile / (all * shape.head_dim))};
  const auto scale = static_cast<float>(scale_of(shape));
  at::parallel_for(0, shape.heads, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scores(static_cast<std::size_t>(all - first));
    for (std::int64_t head = begin; head < end; ++head) {
      const std::int64_t place{head / group * keys.stride(0)};
      const auto slope = shape.slopes.empty()
                             ? 0.0F
                             : rounded<Bfloat16>(static_cast<float>(shape.slopes[static_cast<std::size_t>(head)]));
      attend(queries + head * shape.head_dim, key + place, value + place, first, all, shape, slope, scale, scores,
             out + head * shape.head_dim);
    }
  });
}

}  // namespace

bool is_one(const at::Tensor& x, const at::Tensor& w) {
  return x.is_cpu() && x.size(0) == 1 && x.is_contiguous() && w.is_contiguous() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

void product(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added) {
  x.scalar_type() == at::kFloat ? product_in<float>(y, x, w, added) : product_in<Bfloat16>(y, x, w, added);
}

void times(std::span<const float> x, const at::Tensor& w, std::span<float> y) {
  const auto depth = static_cast<std::int64_t>(x.size());
  const auto each = [&]<class T>(const T* row) {
    const std::vector<float> in = ordered<T>(x.data(), depth);
    for (float& sum : y) sum = dot(in.data(), row, depth), row += depth;
  };
  w.scalar_type() == at::kFloat ? each(static_cast<const float*>(w.const_data_ptr()))
                                : each(static_cast<const Bfloat16*>(w.const_data_ptr()));
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, std::int64_t all,
                     const AttentionShape& shape) {
  at::Tensor result = at::empty({1, shape.heads * shape.head_dim}, q.options());
  q.scalar_type() == at::kFloat ? attention_in<float>(q, keys, values, all, shape, result)
                                : attention_in<Bfloat16>(q, keys, values, all, shape, result);
  return result;
}

}  // namespace finetune::one_row
