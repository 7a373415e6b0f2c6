// What blocked attention does to the columns of a tile's row: one key and n queries. Tested by
// tests/finetune/model_test.cc.
#pragma once

#include <cstdint>

#include "finetune/kernels/vector_math.h"

namespace finetune::blocked {

/// maxima [n] become no less than s [n] times scale.
void raise_maxima(const float* s, std::int64_t n, float scale, float* maxima);
/// s [n]: products -> e^(s scale - maximum), which are added to sums [n].
void to_weights(float* s, std::int64_t n, float scale, const float* maxima, float* sums);
/// `before` [n], maxima of earlier keys -> what was summed up to them times this is to the new `maxima`; sums at once.
void to_factors(float* before, const float* maxima, std::int64_t n, float* sums);
void multiply(float* x, const float* factors, std::int64_t n);
/// s [n]: products -> weights; d [n]: gradients of the weights -> of the products.
void to_gradients(float* s, float* d, std::int64_t n, float scale, const float* log_sums, const float* dots);
void add(float* sum, const float* x, std::int64_t n);
float dot(const float* a, const float* b, std::int64_t n);
float dot(const Bfloat16* a, const Bfloat16* b, std::int64_t n);

}  // namespace finetune::blocked
