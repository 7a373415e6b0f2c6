// What blocked products are made of: one small product of oneDNN's, its operands in the order that it wants, and
// work that threads take in turns. For the .cc files of this room alone. Tested by tests/finetune/model_test.cc.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <atomic>
#include <boost/align/aligned_allocator.hpp>
#include <cstdint>
#include <vector>

#include "finetune/kernels/vector_math.h"

namespace finetune {

/// c [m, n] (+)= a [m, k] b [k, n], rows `a_stride` and `c_stride` apart; b as Operand gives it, k even for bfloat16.
/// oneDNN compiles a kernel for every combination of numbers that it meets: keep them few.
void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_stride, const float* b,
                  float* c, std::int64_t c_stride, bool adds);
/// The same of float32 whose rows of b lie `b_stride` apart.
void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_stride, const float* b,
                  std::int64_t b_stride, float* c, std::int64_t c_stride, bool adds);
void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, const Bfloat16* a, std::int64_t a_stride,
                  const Bfloat16* b, float* c, std::int64_t c_stride, bool adds);
/// x [rows, columns], rows `stride` apart -> out [columns, out_stride].
void transpose(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, float* out,
               std::int64_t out_stride);
void transpose(const Bfloat16* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, Bfloat16* out,
               std::int64_t out_stride);
void transpose(const Float16* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, Float16* out,
               std::int64_t out_stride);

/// The same numbers in float32.
void widen(const Bfloat16* x, std::int64_t n, float* out);
void widen(const Float16* x, std::int64_t n, float* out);

/// Rounds n numbers.
void narrow(const float* x, std::int64_t n, Bfloat16* out);
void narrow(const float* x, std::int64_t n, float* out);

/// The least multiple of `step` that is not below n.
inline std::int64_t rounded_up(std::int64_t n, std::int64_t step) { return (n + step - 1) / step * step; }

/// Numbers that begin at a line of the cache: where rows lie across two, products take up to four times as long.
template <class T>
using Lines = std::vector<T, boost::alignment::aligned_allocator<T, 64>>;

/// Memory for an operand of a product. The right one is plain in float32; in bfloat16 its rows lie interleaved two by
/// two, [k / 2][n][2] ("VNNI"). What is returned lives until the next call.
template <class T>
class Operand;

template <>
class Operand<float> {
 public:
  const float* left(const float* x, std::int64_t) { return x; }
  /// x [k, n].
  const float* right(const float* x, std::int64_t, std::int64_t) { return x; }
  /// x [n, k], whose transpose is the operand.
  const float* right_of_transposed(const float* x, std::int64_t n, std::int64_t k);

 private:
  Lines<float> transposed_;
};

template <>
class Operand<Bfloat16> {
 public:
  const Bfloat16* left(const float* x, std::int64_t count);
  const Bfloat16* right(const float* x, std::int64_t k, std::int64_t n);
  const Bfloat16* right(const Bfloat16* x, std::int64_t k, std::int64_t n) { return right(x, n, k, n, n); }
  const Bfloat16* right_of_transposed(const Bfloat16* x, std::int64_t n, std::int64_t k) {
    return right_of_transposed(x, k, n, k, n);
  }
  /// Rows of x `stride` apart, which is even for the transposed. Blocks of `width` columns lie one behind the other:
  /// that of columns from j on begins at number j * k. Where the first has an odd k, a last row of zeros is added.
  const Bfloat16* right(const Bfloat16* x, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t width);
  const Bfloat16* right_of_transposed(const Bfloat16* x, std::int64_t stride, std::int64_t n, std::int64_t k,
                                      std::int64_t width);

 private:
  Lines<std::uint32_t> pairs_;
  Lines<Bfloat16> narrow_;
};

/// Calls f(first, count) over n in steps that are powers of two and at most `step`, one itself, so that few kernels do
/// for all texts.
template <class F>
void in_steps(std::int64_t n, std::int64_t step, F f) {
  for (std::int64_t first = 0; first < n; first += step) {
    while (step > n - first) step /= 2;
    f(first, step);
  }
}

/// Calls f with w's numbers as they lie in memory.
template <class F>
void with_numbers(const at::Tensor& w, F f) {
  const void* numbers = w.const_data_ptr();
  switch (w.scalar_type()) {
    case at::kBFloat16:
      return f(static_cast<const Bfloat16*>(numbers));
    case at::kHalf:
      return f(static_cast<const Float16*>(numbers));
    default:
      return f(w.const_data_ptr<float>());
  }
}

/// Gives up what a thread holds of the processor for products (AMX's tiles).
void release_tiles();

/// Calls f() in each thread, and what it returns for every number below `count`, each thread taking the next when it
/// is done: a busy processor holds up nobody.
template <class F>
void take_turns(std::int64_t count, F f) {
  std::atomic<std::int64_t> next = 0;
  const std::int64_t threads{std::min<std::int64_t>(at::get_num_threads(), count)};
  at::parallel_for(0, threads, 1, [&](std::int64_t, std::int64_t) {
    auto work = f();
    for (std::int64_t i = next++; i < count; i = next++) work(i);
    release_tiles();
  });
}

}  // namespace finetune
