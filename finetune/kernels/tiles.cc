// Small products and their operands, by LibTorch's oneDNN and FBGEMM. Tested by tests/finetune/model_test.cc.
#include "finetune/kernels/tiles.h"

#include <ATen/native/CPUBlas.h>
#include <fbgemm/Utils.h>

namespace finetune {
namespace {

BASE_CLONES void round_all(const float* x, std::int64_t n, Bfloat16* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) store(out[i], x[i]);
}

template <class T>
FINETUNE_INLINE void widen_all(const T* x, std::int64_t n, float* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) out[i] = load(x[i]);
}

FINETUNE_INLINE std::uint32_t pair_of(Bfloat16 low, Bfloat16 high) {
  return low.bits | static_cast<std::uint32_t>(high.bits) << 16;
}
FINETUNE_INLINE std::uint32_t pair_of(float low, float high) {
  Bfloat16 first, second;
  store(first, low);
  store(second, high);
  return pair_of(first, second);
}

constexpr std::int64_t kAhead = 16;  // rows, which lie apart: the processor does not see them come

// The last of an odd number of rows is beside one of zeros.
template <class T>
FINETUNE_INLINE void interleave_all(const T* x, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t width,
                                    std::uint32_t* out) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  const std::int64_t pairs{(k + 1) / 2};
  for (std::int64_t i = 0; i < k; i += 2)
    for (std::int64_t j = 0; j < n; j += width) {
      const T *even = x + i * stride + j, *odd = even + stride;
      const std::int64_t count{std::min(width, n - j)};
      std::uint32_t* const to = out + j * pairs + i / 2 * count;
      if (i + 1 == k) {
        for (std::int64_t c = 0; c < count; ++c) to[c] = pair_of(even[c], T{});
        continue;
      }
      for (std::int64_t c = 0; c < count; c += kLine) {
        __builtin_prefetch(even + kAhead * stride + c);
        __builtin_prefetch(odd + kAhead * stride + c);
      }
#pragma omp simd
      for (std::int64_t c = 0; c < count; ++c) to[c] = pair_of(even[c], odd[c]);
    }
}
BASE_CLONES void interleave(const float* x, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t width,
                            std::uint32_t* out) {
  interleave_all(x, stride, k, n, width, out);
}
BASE_CLONES void interleave(const Bfloat16* x, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t width,
                            std::uint32_t* out) {
  interleave_all(x, stride, k, n, width, out);
}

template <class T>
const Bfloat16* interleaved(const T* x, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t width,
                            Lines<std::uint32_t>& pairs) {
  pairs.resize(static_cast<std::size_t>((k + 1) / 2 * n));
  interleave(x, stride, k, n, width, pairs.data());
  return reinterpret_cast<const Bfloat16*>(pairs.data());
}

}  // namespace

void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_stride, const float* b,
                  float* c, std::int64_t c_stride, bool adds) {
  tile_product(m, n, k, a, a_stride, b, n, c, c_stride, adds);
}

void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_stride, const float* b,
                  std::int64_t b_stride, float* c, std::int64_t c_stride, bool adds) {
  at::native::cpublas::brgemm(m, n, k, a_stride, b_stride, c_stride, adds, a, b, c, false);
}

void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, const Bfloat16* a, std::int64_t a_stride,
                  const Bfloat16* b, float* c, std::int64_t c_stride, bool adds) {
  at::native::cpublas::brgemm(m, n, k, a_stride, n, c_stride, adds, reinterpret_cast<const at::BFloat16*>(a),
                              reinterpret_cast<const at::BFloat16*>(b), c, true);
}

void transpose(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, float* out,
               std::int64_t out_stride) {
  fbgemm::transpose_simd<float>(rows, columns, x, stride, out, out_stride);
}

void transpose(const Bfloat16* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, Bfloat16* out,
               std::int64_t out_stride) {
  fbgemm::transpose_simd<std::uint16_t>(rows, columns, reinterpret_cast<const std::uint16_t*>(x), stride,
                                        reinterpret_cast<std::uint16_t*>(out), out_stride);
}

void transpose(const Float16* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, Float16* out,
               std::int64_t out_stride) {
  transpose(reinterpret_cast<const Bfloat16*>(x), stride, rows, columns, reinterpret_cast<Bfloat16*>(out), out_stride);
}

BASE_CLONES void widen(const Bfloat16* x, std::int64_t n, float* out) { widen_all(x, n, out); }
BASE_CLONES void widen(const Float16* x, std::int64_t n, float* out) { widen_all(x, n, out); }

void narrow(const float* x, std::int64_t n, Bfloat16* out) { round_all(x, n, out); }
void narrow(const float* x, std::int64_t n, float* out) { std::copy(x, x + n, out); }

const float* Operand<float>::right_of_transposed(const float* x, std::int64_t n, std::int64_t k) {
  transposed_.resize(static_cast<std::size_t>(n * k));
  transpose(x, k, n, k, transposed_.data(), n);
  return transposed_.data();
}

const Bfloat16* Operand<Bfloat16>::left(const float* x, std::int64_t count) {
  narrow_.resize(static_cast<std::size_t>(count));
  narrow(x, count, narrow_.data());
  return narrow_.data();
}

const Bfloat16* Operand<Bfloat16>::right(const float* x, std::int64_t k, std::int64_t n) {
  return interleaved(x, n, k, n, n, pairs_);
}

const Bfloat16* Operand<Bfloat16>::right(const Bfloat16* x, std::int64_t stride, std::int64_t k, std::int64_t n,
                                         std::int64_t width) {
  return interleaved(x, stride, k, n, width, pairs_);
}

const Bfloat16* Operand<Bfloat16>::right_of_transposed(const Bfloat16* x, std::int64_t stride, std::int64_t n,
                                                       std::int64_t k, std::int64_t width) {
  pairs_.resize(static_cast<std::size_t>(k / 2 * n));  // a pair is one number of 32 bits
  auto* const out = reinterpret_cast<float*>(pairs_.data());
  for (std::int64_t j = 0; j < n; j += width) {
    const std::int64_t count{std::min(width, n - j)};
    transpose(reinterpret_cast<const float*>(x + j * stride), stride / 2, count, k / 2, out + j * (k / 2), count);
  }
  return reinterpret_cast<const Bfloat16*>(pairs_.data());
}

void release_tiles() { at::native::cpublas::brgemm_release(true); }

}  // namespace finetune
