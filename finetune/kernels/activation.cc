// What an MLP does between its products. Tested by tests/finetune/spec_test.cc.
#include "finetune/kernels/activation.h"

#include <ATen/ATen.h>

#include "finetune/kernels/elementwise.h"

namespace finetune {
namespace {

at::Tensor activation_of(const at::Tensor& x, lora::Activation activation) {
  switch (activation) {
    case lora::Activation::kSilu:
      return at::silu(x);
    case lora::Activation::kGelu:
      return at::gelu(x);
    case lora::Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case lora::Activation::kRelu:
      return at::relu(x);
  }
  return x;
}

}  // namespace

at::Tensor activate(const at::Tensor& x, const lora::MlpSpec& mlp) {
  if (!mlp.gated) return activation_of(x, mlp.activation);
  if (mlp.activation == lora::Activation::kSilu) return swiglu(x);
  const std::int64_t n{x.size(1) / 2};
  return activation_of(x.narrow(1, 0, n), mlp.activation) * x.narrow(1, n, n);
}

}  // namespace finetune
