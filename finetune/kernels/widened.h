// bfloat16 on processors without products of it. Tested by tests/finetune/kernels_test.cc and model_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune {

/// Whether products of x are those of float32, rounded once: bfloat16 in CPU memory on a processor that has neither
/// avx512_bf16 nor AMX, where ATen's own take up to a hundred times as long. What the others compute differs by
/// rounding alone.
bool is_widened(const at::Tensor& x);
/// x, whose rows may lie apart, in float32: a passing_tensor.
at::Tensor widened(const at::Tensor& x);

}  // namespace finetune
