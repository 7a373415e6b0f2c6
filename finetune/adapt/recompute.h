// What the backward pass needs is computed again instead of kept: a whole function (gradient checkpointing), or what a
// product reads.
// Tested by tests/finetune/recompute_test.cc.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <functional>
#include <vector>

namespace finetune {

using TensorFunction = std::function<at::Tensor(const at::Tensor&)>;

/// A tensor is make(source) again, where `source` is kept for another reason: the norm of what goes on beside it too.
struct Recipe {
  at::Tensor source;
  TensorFunction make;
};

/// A function among what an AutogradContext keeps, and out of it.
c10::IValue kept_function(TensorFunction f);
const TensorFunction& function_in(const c10::IValue& kept);

/// f(x), of which the graph keeps only x; the backward pass calls f again. `leaves`: what else of f has a gradient.
/// f must give the same numbers each time and live by itself. Where no gradient is wanted: f(x).
at::Tensor recomputed(const TensorFunction& f, const at::Tensor& x, const std::vector<at::Tensor>& leaves);

}  // namespace finetune
