// bfloat16 computed with in float32. Tested by tests/finetune/kernels_test.cc and model_test.cc.
#include "finetune/kernels/widened.h"

#include <ATen/ATen.h>

#include "finetune/kernels/device.h"
#include "finetune/kernels/passing.h"

namespace finetune {

bool is_widened(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kBFloat16 && !multiplies_bfloat16();
}

at::Tensor widened(const at::Tensor& x) { return passing_tensor(x.sizes(), x.options().dtype(at::kFloat)).copy_(x); }

}  // namespace finetune
