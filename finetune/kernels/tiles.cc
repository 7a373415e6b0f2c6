// Small products and their operands, by LibTorch's oneDNN and FBGEMM. Tested by tests/finetune/model_test.cc.
#include "finetune/kernels/tiles.h"

#include <ATen/cpu/Utils.h>
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

BASE_CLONES void interleave(const float* even, const float* odd, std::int64_t n, std::uint32_t* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    Bfloat16 low, high;
    store(low, even[i]);
    store(high, odd[i]);
    out[i] = low.bits | static_cast<std::uint32_t>(high.bits) << 16;
  }
}

BASE_CLONES void interleave(const Bfloat16* even, const Bfloat16* odd, std::int64_t n, std::uint32_t* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) out[i] = even[i].bits | static_cast<std::uint32_t>(odd[i].bits) << 16;
}

template <class T>
const Bfloat16* interleave_rows(const T* x, std::int64_t stride, std::int64_t k, std::int64_t n,
                                Lines<std::uint32_t>& pairs) {
  pairs.resize(static_cast<std::size_t>(k / 2 * n));
  for (std::int64_t i = 0; i < k; i += 2) interleave(x + i * stride, x + (i + 1) * stride, n, pairs.data() + i / 2 * n);
  return reinterpret_cast<const Bfloat16*>(pairs.data());
}

bool has(const char* unit) {
  const auto units = at::cpu::get_cpu_capabilities();
  return units.contains(unit) && units.at(unit).toBool();
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

bool has_vectors_of_sixteen() {
  static const bool kHas = has("avx512_f");
  return kHas;
}

bool multiplies_bfloat16() {
  static const bool kDoes = has("avx512_bf16") || has("amx_bf16");
  return kDoes;
}

bool has_tiles() {
  static const bool kHas = has("amx_bf16");
  return kHas;
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
  return interleave_rows(x, n, k, n, pairs_);
}

const Bfloat16* Operand<Bfloat16>::right(const Bfloat16* x, std::int64_t stride, std::int64_t k, std::int64_t n) {
  return interleave_rows(x, stride, k, n, pairs_);
}

const Bfloat16* Operand<Bfloat16>::right_of_transposed(const Bfloat16* x, std::int64_t stride, std::int64_t n,
                                                       std::int64_t k) {
  pairs_.resize(static_cast<std::size_t>(k / 2 * n));  // a pair is one number of 32 bits
  transpose(reinterpret_cast<const float*>(x), stride / 2, n, k / 2, reinterpret_cast<float*>(pairs_.data()), n);
  return reinterpret_cast<const Bfloat16*>(pairs_.data());
}

void release_tiles() { at::native::cpublas::brgemm_release(true); }

}  // namespace finetune
