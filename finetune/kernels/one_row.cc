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

// Sixteen of w. Of 16 bits memory is asked for 1 kB ahead, which the processor's own reading ahead does not reach.
FINETUNE_INLINE void load_sixteen(const float* w, Floats8& first, Floats8& last) { load(w, first), load(w + 8, last); }
template <class T>
FINETUNE_INLINE void load_sixteen(const T* w, Floats8& first, Floats8& last) {
  __builtin_prefetch(w + 512);
  load(w, first), load(w + 8, last);
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
    load(x + i, left), load(x + i + 8, right);
    sums[0] += left * first;
    sums[1] += right * last;
  }
  if (i < depth) {
    // The last ones beside zeros: a loop over them would be compiled otherwise for every type, with other last bits.
    const auto count = static_cast<std::size_t>(std::min<std::int64_t>(16, depth - i));
    float padded[16] = {};
    T numbers[16] = {};
    __builtin_memcpy(padded, x + i, count * sizeof(float));
    __builtin_memcpy(numbers, w + i, count * sizeof(T));
    Floats8 left, right, first, last;
    load(numbers, first), load(numbers + 8, last);
    load(padded, left), load(padded + 8, right);
    sums[0] += left * first;
    sums[1] += right * last;
  }
  return total(((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7])));
}
BASE_CLONES float dot(const float* x, const float* w, std::int64_t depth) { return dot_of(x, w, depth); }
BASE_CLONES float dot(const float* x, const Bfloat16* w, std::int64_t depth) { return dot_of(x, w, depth); }
BASE_CLONES float dot(const float* x, const Float16* w, std::int64_t depth) { return dot_of(x, w, depth); }

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

// x and y of T, w of W.
template <class T, class W>
void product_in(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added) {
  const std::int64_t rows{w.size(0)}, depth{w.size(1)};
  const at::Tensor wide = x.to(at::kFloat), plus = added.defined() ? added.to(x.scalar_type()).contiguous() : added;
  const float* in = wide.const_data_ptr<float>();
  const auto* matrix = static_cast<const W*>(w.const_data_ptr());
  const auto* bias = plus.defined() ? static_cast<const T*>(plus.const_data_ptr()) : nullptr;
  auto* out = static_cast<T*>(y.mutable_data_ptr());
  const std::int64_t step{std::max<std::int64_t>(1, kTile / depth)};
  take_turns((rows + step - 1) / step, [&] {
    return [&](std::int64_t tile) {
      const std::int64_t end{std::min(rows, (tile + 1) * step)};
      for (std::int64_t row = tile * step; row < end; ++row)
        store(out[row], dot(in, matrix + row * depth, depth) + (bias ? load(bias[row]) : 0));
    };
  });
}

// What a query [depth] sees of one key head, from key `first` on: `scores` has room for all.
template <class T>
void attend(const float* query, const T* keys, const T* values, std::int64_t first, std::int64_t all,
            const AttentionShape& shape, float slope, float scale, std::vector<float>& scores, T* out) {
  const std::int64_t depth{shape.head_dim}, count{all - first};
  const auto cap = static_cast<float>(shape.softcap);
  for (std::int64_t i = 0; i < count; ++i) {
    float score = dot(query, keys + (first + i) * depth, depth) * scale;
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
         (x.scalar_type() == at::kFloat || (x.scalar_type() == at::kBFloat16 && w.scalar_type() == at::kBFloat16));
}

void product(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added) {
  if (x.scalar_type() == at::kBFloat16) return product_in<Bfloat16, Bfloat16>(y, x, w, added);
  with_numbers(w, [&]<class W>(const W*) { product_in<float, W>(y, x, w, added); });
}

void times(std::span<const float> x, const at::Tensor& w, std::span<float> y) {
  const auto depth = static_cast<std::int64_t>(x.size());
  const auto each = [&]<class T>(const T* row) {
    for (float& sum : y) sum = dot(x.data(), row, depth), row += depth;
  };
  with_numbers(w, each);
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, std::int64_t all,
                     const AttentionShape& shape) {
  at::Tensor result = at::empty({1, shape.heads * shape.head_dim}, q.options());
  q.scalar_type() == at::kFloat ? attention_in<float>(q, keys, values, all, shape, result)
                                : attention_in<Bfloat16>(q, keys, values, all, shape, result);
  return result;
}

}  // namespace finetune::one_row
