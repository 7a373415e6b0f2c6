// Rows of a matrix in fewer bits. Tested by tests/finetune/quantized_test.cc.
#include "finetune/weights/quantized_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "finetune/kernels/one_row.h"

namespace finetune {

void QuantizedRows::pick(const at::Tensor& numbers, at::Tensor& out) const {
  const at::Tensor here = numbers.to(at::kCPU);
  for (std::int64_t i = 0; i < here.size(0); ++i) {
    at::Tensor row = out.narrow(0, i, 1);
    expand(here.const_data_ptr<std::int64_t>()[i], 0, row, passes_for(out));
  }
}

void QuantizedRows::times(const BlockVector& x, std::int64_t first, at::ScalarType type, std::span<float> y) const {
  const auto count = static_cast<std::int64_t>(y.size());
  const std::int64_t step{std::min(count, std::max<std::int64_t>(1, kCached / columns_))};
  const at::Tensor memory = at::empty({step, columns_}, type);
  for (std::int64_t row = 0; row < count; row += step) {
    at::Tensor some = memory.narrow(0, 0, std::min(step, count - row));
    expand(first + row, 0, some, passes_for(some));
    one_row::times(x.values, some, y.subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(some.size(0))));
  }
}

void DenseRows::expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes) const {
  out.copy_(weight_.narrow(0, first, out.size(0)).narrow(1, column, out.size(1)));
}

}  // namespace finetune
