// Dense frozen matrices. Tested by tests/finetune/weights_test.cc.
#include "finetune/weights/frozen_matrix.h"

#include <ATen/ATen.h>

#include "finetune/kernels/products.h"

namespace finetune {

at::Tensor DenseMatrix::apply(const at::Tensor& x, const at::Tensor& added) const { return product(x, weight_, added); }

at::Tensor DenseMatrix::apply_transposed(const at::Tensor& dy) const { return product_transposed(dy, weight_); }

at::Tensor DenseMatrix::rows(const at::Tensor& numbers) const { return weight_.index_select(0, numbers); }

}  // namespace finetune
