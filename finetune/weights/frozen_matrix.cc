// Dense frozen matrices. Tested by tests/finetune/weights_test.cc.
#include "finetune/weights/frozen_matrix.h"

#include <ATen/ATen.h>

#include "finetune/kernels/passing.h"
#include "finetune/kernels/products.h"

namespace finetune {

at::Tensor FrozenMatrix::result_for(const at::Tensor& x, std::int64_t out) const {
  return results_pass_ ? passing_tensor({x.size(0), out}, x.options()) : at::empty({x.size(0), out}, x.options());
}

at::Tensor DenseMatrix::apply(const at::Tensor& x, const at::Tensor& added) const {
  at::Tensor y = result_for(x, weight_.size(0));
  product_into(y, x, weight_, added);
  return y;
}

at::Tensor DenseMatrix::apply_transposed(const at::Tensor& dy) const { return product_transposed(dy, weight_); }

void DenseMatrix::apply_rows(at::Tensor& y, const at::Tensor& x, std::int64_t first) const {
  product_into(y, x, weight_.narrow(0, first, y.size(1)));
}

void DenseMatrix::apply_rows_transposed(at::Tensor& dx, const at::Tensor& dy, std::int64_t first) const {
  product_transposed_into(dx, dy, weight_.narrow(0, first, dy.size(1)));
}

at::Tensor DenseMatrix::rows(const at::Tensor& numbers) const { return weight_.index_select(0, numbers).to(type_); }

at::Tensor DenseMatrix::rows_from(std::int64_t first, std::int64_t count) const {
  return weight_.narrow(0, first, count).to(type_);
}

}  // namespace finetune
