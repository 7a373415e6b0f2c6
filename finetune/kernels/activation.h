// What an MLP does between its products. Tested by tests/finetune/spec_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include "lora/model/spec.h"

namespace finetune {

/// act(gate) * up of joined [T, 2 n] = gate | up where the MLP is gated, act(up) of [T, n] where it is not -> [T, n].
/// Differentiable.
at::Tensor activate(const at::Tensor& x, const lora::MlpSpec& mlp);

}  // namespace finetune
