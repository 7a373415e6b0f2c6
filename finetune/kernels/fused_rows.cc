// One pass over CPU memory for what ATen does in four to eight: rows in parallel, vector instructions chosen when the
// program starts, float32 or bfloat16 in memory and float32 in registers. Tested by tests/finetune/model_test.cc.
#include "finetune/kernels/fused_rows.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "finetune/kernels/vector_math.h"

namespace finetune::fused {
namespace {

FINETUNE_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// Rounded to the weight's type before the product with it.
template <class T, class W>
FINETUNE_INLINE void norm_row(const T* x, const W* weight, std::int64_t n, float eps, T* y, float* inverse) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += load(x[i]) * load(x[i]);
  float r = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
  *inverse = r;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) store(y[i], load(weight[i]) * rounded<W>(load(x[i]) * r));
}

template <class T, class W>
FINETUNE_INLINE void norm_row_backward(const T* dy, const T* x, const W* weight, std::int64_t n, float r, T* dx) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += load(dy[i]) * load(weight[i]) * load(x[i]);
  float factor = sum * r * r / static_cast<float>(n);  // mean(g n) r, of n = x r
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) store(dx[i], r * (load(dy[i]) * load(weight[i]) - load(x[i]) * factor));
}

// Rounded once, as torch's.
template <class T, class W>
FINETUNE_INLINE void layer_row(const T* x, const W* weight, const W* bias, std::int64_t n, float eps, T* y,
                               float* moments) {
  const float count{static_cast<float>(n)};
  float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += load(x[i]);
  const float mean{sum / count};
#pragma omp simd reduction(+ : squares)
  for (std::int64_t i = 0; i < n; ++i) squares += (load(x[i]) - mean) * (load(x[i]) - mean);
  const float r{1.0f / std::sqrt(squares / count + eps)};
  moments[0] = mean, moments[1] = r;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) store(y[i], (load(x[i]) - mean) * r * load(weight[i]) + load(bias[i]));
}

template <class T, class W>
FINETUNE_INLINE void layer_row_backward(const T* dy, const T* x, const W* weight, std::int64_t n, const float* moments,
                                        T* dx) {
  const float mean{moments[0]}, r{moments[1]}, count{static_cast<float>(n)};
  float sum = 0, products = 0;
#pragma omp simd reduction(+ : sum, products)
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = load(dy[i]) * load(weight[i]);
    sum += g;
    products += g * ((load(x[i]) - mean) * r);
  }
  const float of_mean{sum / count}, of_normal{products / count};
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i)
    store(dx[i], r * (load(dy[i]) * load(weight[i]) - of_mean - (load(x[i]) - mean) * r * of_normal));
}

template <class T>
FINETUNE_INLINE void swiglu_row(const T* gate, const T* up, std::int64_t n, T* y) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    float g = load(gate[i]);
    store(y[i], g * sigmoid(g) * load(up[i]));
  }
}

template <class T>
FINETUNE_INLINE void swiglu_row_backward(const T* dy, const T* gate, const T* up, std::int64_t n, T* dgate, T* dup) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    float g = load(gate[i]), d = load(dy[i]), s = sigmoid(g);
    store(dgate[i], d * load(up[i]) * s * (1 + g * (1 - s)));
    store(dup[i], d * g * s);
  }
}

template <class T>
FINETUNE_INLINE void rotate_row(const T* x, std::int64_t turned, std::int64_t heads, std::int64_t dim,
                                std::int64_t half, const float* cosine, const float* sine, float sign, T* y) {
  for (std::int64_t head = 0; head < turned; ++head, x += dim, y += dim) {
#pragma omp simd
    for (std::int64_t i = 0; i < half; ++i) {
      float x1 = load(x[i]), x2 = load(x[i + half]), s = sign * sine[i];
      store(y[i], x1 * cosine[i] - x2 * s);
      store(y[i + half], x2 * cosine[i] + x1 * s);
    }
    if (x != y) std::copy(x + 2 * half, x + dim, y + 2 * half);
  }
  if (x != y) std::copy(x, x + (heads - turned) * dim, y);
}

template <class T>
FINETUNE_INLINE float cross_entropy_row(T* x, std::int64_t n, std::int64_t target, bool with_gradient, float* shares) {
  float maximum = load(x[0]);
#pragma omp simd reduction(max : maximum)
  for (std::int64_t i = 0; i < n; ++i) maximum = std::max(maximum, load(x[i]));
  const float sum = exponentials(x, n, maximum, shares);
  const float loss = std::log(sum) + maximum - load(x[target]), inverse = 1 / sum;
  if (!with_gradient) return loss;
  const float of_target = shares[target] * inverse - 1;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) store(x[i], shares[i] * inverse);
  store(x[target], of_target);
  return loss;
}

// One plain function for each type and operation: see vector_math.h.
#define FINETUNE_NORM(T, W)                                                                                       \
  BASE_CLONES void norm(const T* x, const W* w, std::int64_t n, float eps, T* y, float* inverse) {                \
    norm_row(x, w, n, eps, y, inverse);                                                                           \
  }                                                                                                               \
  BASE_CLONES void norm_back(const T* dy, const T* x, const W* w, std::int64_t n, float r, T* dx) {               \
    norm_row_backward(dy, x, w, n, r, dx);                                                                        \
  }                                                                                                               \
  BASE_CLONES void layer(const T* x, const W* w, const W* b, std::int64_t n, float eps, T* y, float* moments) {   \
    layer_row(x, w, b, n, eps, y, moments);                                                                       \
  }                                                                                                               \
  BASE_CLONES void layer_back(const T* dy, const T* x, const W* w, std::int64_t n, const float* moments, T* dx) { \
    layer_row_backward(dy, x, w, n, moments, dx);                                                                 \
  }
FINETUNE_NORM(float, float)
FINETUNE_NORM(Bfloat16, Bfloat16)
FINETUNE_NORM(Bfloat16, float)
#define FINETUNE_ROWS(T)                                                                                          \
  BASE_CLONES void gate(const T* g, const T* u, std::int64_t n, T* y) { swiglu_row(g, u, n, y); }                 \
  BASE_CLONES void gate_back(const T* dy, const T* g, const T* u, std::int64_t n, T* dg, T* du) {                 \
    swiglu_row_backward(dy, g, u, n, dg, du);                                                                     \
  }                                                                                                               \
  BASE_CLONES void turn(const T* x, std::int64_t turned, std::int64_t heads, std::int64_t dim, std::int64_t half, \
                        const float* c, const float* s, float sign, T* y) {                                       \
    rotate_row(x, turned, heads, dim, half, c, s, sign, y);                                                       \
  }                                                                                                               \
  BASE_CLONES float likelihood(T* x, std::int64_t n, std::int64_t target, bool with_gradient, float* scratch) {   \
    return cross_entropy_row(x, n, target, with_gradient, scratch);                                               \
  }
FINETUNE_ROWS(float)
FINETUNE_ROWS(Bfloat16)

// Calls f(T{}, first row, last row) for the tensor's type, on all threads.
template <class F>
void over_rows(const at::Tensor& x, std::int64_t rows, F f) {
  TORCH_CHECK(x.is_contiguous() && x.is_cpu(), "fused rows need contiguous CPU memory");
  if (rows == 0) return;
  std::int64_t grain = std::max<std::int64_t>(1, (std::int64_t{1} << 14) / std::max<std::int64_t>(1, x.numel() / rows));
  at::parallel_for(0, rows, grain, [&](std::int64_t begin, std::int64_t end) {
    x.scalar_type() == at::kFloat ? f(float{}, begin, end) : f(Bfloat16{}, begin, end);
  });
}
template <class T>
const T* read(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <class T>
T* write(at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// Calls f(const W*) for a weight of the type of rows T, or in float32.
template <class T, class F>
void with_weight(const at::Tensor& weight, F f) {
  weight.scalar_type() == at::kFloat ? f(read<float>(weight)) : f(read<T>(weight));
}

}  // namespace

void rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, float eps, at::Tensor& y, at::Tensor& inverse) {
  std::int64_t n = x.size(1);
  over_rows(x, x.size(0), [&]<class T>(T, std::int64_t begin, std::int64_t end) {
    with_weight<T>(weight, [&](const auto* w) {
      for (std::int64_t i = begin; i < end; ++i)
        norm(read<T>(x) + i * n, w, n, eps, write<T>(y) + i * n, write<float>(inverse) + i);
    });
  });
}

void rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& inverse,
                       at::Tensor& dx) {
  std::int64_t n = x.size(1);
  over_rows(x, x.size(0), [&]<class T>(T, std::int64_t begin, std::int64_t end) {
    with_weight<T>(weight, [&](const auto* w) {
      for (std::int64_t i = begin; i < end; ++i)
        norm_back(read<T>(dy) + i * n, read<T>(x) + i * n, w, n, read<float>(inverse)[i], write<T>(dx) + i * n);
    });
  });
}

void layer_norm_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, float eps, at::Tensor& y,
                        at::Tensor& moments) {
  TORCH_CHECK(bias.scalar_type() == weight.scalar_type(), "a norm's weight and bias of different types");
  const std::int64_t n{x.size(1)};
  over_rows(x, x.size(0), [&]<class T>(T, std::int64_t begin, std::int64_t end) {
    with_weight<T>(weight, [&]<class W>(const W* w) {
      for (std::int64_t i = begin; i < end; ++i)
        layer(read<T>(x) + i * n, w, read<W>(bias), n, eps, write<T>(y) + i * n, write<float>(moments) + 2 * i);
    });
  });
}

void layer_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& moments,
                         at::Tensor& dx) {
  const std::int64_t n{x.size(1)};
  over_rows(x, x.size(0), [&]<class T>(T, std::int64_t begin, std::int64_t end) {
    with_weight<T>(weight, [&](const auto* w) {
      for (std::int64_t i = begin; i < end; ++i)
        layer_back(read<T>(dy) + i * n, read<T>(x) + i * n, w, n, read<float>(moments) + 2 * i, write<T>(dx) + i * n);
    });
  });
}

void swiglu_forward(const at::Tensor& gate_up, at::Tensor& y) {
  std::int64_t n = y.size(1);
  over_rows(gate_up, y.size(0), [&]<class T>(T, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* row = read<T>(gate_up) + 2 * i * n;
      gate(row, row + n, n, write<T>(y) + i * n);
    }
  });
}

void swiglu_backward(const at::Tensor& dy, const at::Tensor& gate_up, at::Tensor& d) {
  std::int64_t n = dy.size(1);
  over_rows(gate_up, dy.size(0), [&]<class T>(T, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* row = read<T>(gate_up) + 2 * i * n;
      T* out = write<T>(d) + 2 * i * n;
      gate_back(read<T>(dy) + i * n, row, row + n, n, out, out + n);
    }
  });
}

void rotate(const at::Tensor& heads, std::int64_t turned, const at::Tensor& cosines, const at::Tensor& sines,
            float sign, at::Tensor& result) {
  std::int64_t count = heads.size(1), dim = heads.size(2), half = cosines.size(2), row = count * dim;
  over_rows(heads, heads.size(0), [&]<class T>(T, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      turn(read<T>(heads) + i * row, turned, count, dim, half, read<float>(cosines) + i * half,
           read<float>(sines) + i * half, sign, write<T>(result) + i * row);
  });
}

void cross_entropy(at::Tensor& logits, const at::Tensor& targets, at::Tensor& losses, bool with_gradient) {
  const std::int64_t n{logits.size(1)};
  over_rows(logits, logits.size(0), [&]<class T>(T, std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(static_cast<std::size_t>(n));
    for (std::int64_t i = begin; i < end; ++i)
      write<float>(losses)[i] =
          likelihood(write<T>(logits) + i * n, n, read<std::int64_t>(targets)[i], with_gradient, scratch.data());
  });
}

}  // namespace finetune::fused
