// Dropout of rows in one pass. Tested by tests/finetune/draws_test.cc.
#include "finetune/kernels/dropout.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "base/random.h"
#include "finetune/kernels/vector_math.h"

namespace finetune::dropout {
namespace {

constexpr std::int64_t kNumbers = 256, kHashes = kNumbers / 4;  // at a time, in registers and the first cache
constexpr std::int64_t kGrain = 1 << 15;                        // numbers of a thread

template <bool kAdds, class T>
FINETUNE_INLINE void drop(const T* x, std::int64_t n, std::uint64_t next, std::uint32_t threshold, float keep, T* y) {
  std::uint64_t bits[kHashes];
  std::uint16_t parts[kNumbers];
  for (std::int64_t first = 0; first < n; first += kNumbers, next += kHashes) {
    const std::int64_t count{std::min(kNumbers, n - first)};
#pragma omp simd
    for (std::uint64_t i = 0; i < kHashes; ++i) bits[i] = base::mix64(next + i);
    static_assert(sizeof bits == sizeof parts && std::endian::native == std::endian::little);
    __builtin_memcpy(parts, bits, sizeof bits);
#pragma omp simd
    for (std::int64_t j = 0; j < count; ++j) {
      const float kept = load(x[first + j]) * (parts[j] < threshold ? 0.0F : keep);
      store(y[first + j], kAdds ? load(y[first + j]) + kept : kept);
    }
  }
}

// See BASE_CLONES: one plain function for each type and operation.
#define FINETUNE_DROP(T)                                                                                        \
  BASE_CLONES void put(const T* x, std::int64_t n, std::uint64_t next, std::uint32_t below, float keep, T* y) { \
    drop<false>(x, n, next, below, keep, y);                                                                    \
  }                                                                                                             \
  BASE_CLONES void add(const T* x, std::int64_t n, std::uint64_t next, std::uint32_t below, float keep, T* y) { \
    drop<true>(x, n, next, below, keep, y);                                                                     \
  }
FINETUNE_DROP(float)
FINETUNE_DROP(Bfloat16)
#undef FINETUNE_DROP

template <class T>
void drop_rows(T* y, const T* x, const at::Tensor& places, std::int64_t width, const Mask& mask, bool adds) {
  const std::int64_t* place = places.const_data_ptr<std::int64_t>();
  const auto hashes = static_cast<std::uint64_t>((width + 3) / 4);
  const std::int64_t grain{std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, width))};
  at::parallel_for(0, places.size(0), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::uint64_t next{mask.key + static_cast<std::uint64_t>(place[t]) * hashes};
      adds ? add(x + t * width, width, next, mask.threshold, mask.keep, y + t * width)
           : put(x + t * width, width, next, mask.threshold, mask.keep, y + t * width);
    }
  });
}

}  // namespace

bool handles(const at::Tensor& x) {
  return x.is_cpu() && x.is_contiguous() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

void apply(const at::Tensor& y, const at::Tensor& x, const at::Tensor& places, const Mask& mask, bool adds) {
  TORCH_CHECK(handles(x) && handles(y) && x.scalar_type() == y.scalar_type(), "dropout of rows of another kind");
  if (x.scalar_type() == at::kFloat)
    drop_rows(static_cast<float*>(y.mutable_data_ptr()), x.const_data_ptr<float>(), places, x.size(1), mask, adds);
  else
    drop_rows(static_cast<Bfloat16*>(y.mutable_data_ptr()), static_cast<const Bfloat16*>(x.const_data_ptr()), places,
              x.size(1), mask, adds);
}

}  // namespace finetune::dropout
