// What blocked attention does to the columns of a tile's row. Tested by tests/finetune/model_test.cc.
#include "finetune/kernels/attention_columns.h"

namespace finetune::blocked {

BASE_CLONES void raise_maxima(const float* s, std::int64_t n, float scale, float* maxima) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float score = s[i] * scale;  // not std::max, which gives one of two places: no vector has that
    maxima[i] = maxima[i] < score ? score : maxima[i];
  }
}

BASE_CLONES void to_weights(float* s, std::int64_t n, float scale, const float* maxima, float* sums) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    s[i] = exponential(s[i] * scale - maxima[i]);
    sums[i] += s[i];
  }
}

// Factors for what was summed up to `before`, which become the maxima; the sums get them at once.
BASE_CLONES void to_factors(float* before, const float* maxima, std::int64_t n, float* sums) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    before[i] = exponential(before[i] - maxima[i]);
    sums[i] *= before[i];
  }
}

BASE_CLONES void multiply(float* x, const float* factors, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) x[i] *= factors[i];
}

// s: products -> weights; d: gradients of the weights -> of the products.
BASE_CLONES void to_gradients(float* s, float* d, std::int64_t n, float scale, const float* log_sums,
                              const float* dots) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    s[i] = exponential(s[i] * scale - log_sums[i]);
    d[i] = s[i] * (d[i] - dots[i]) * scale;
  }
}

BASE_CLONES void add(float* sum, const float* x, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

BASE_CLONES float dot(const float* a, const float* b, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}
BASE_CLONES float dot(const Bfloat16* a, const Bfloat16* b, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += load(a[i]) * load(b[i]);
  return sum;
}

}  // namespace finetune::blocked
