// Rows of a matrix in fewer bits. Tested by tests/finetune/quantized_test.cc.
#include "finetune/weights/quantized_rows.h"

#include <ATen/ATen.h>

namespace finetune {

void QuantizedRows::pick(const at::Tensor& numbers, at::Tensor& out) const {
  const at::Tensor here = numbers.to(at::kCPU);
  for (std::int64_t i = 0; i < here.size(0); ++i) {
    at::Tensor row = out.narrow(0, i, 1);
    expand(here.const_data_ptr<std::int64_t>()[i], 0, row, passes_for(out));
  }
}

void DenseRows::expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes) const {
  out.copy_(weight_.narrow(0, first, out.size(0)).narrow(1, column, out.size(1)));
}

}  // namespace finetune
