// What an MLP does between its products. Tested by tests/finetune/spec_test.cc.
#include "finetune/kernels/activation.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "finetune/kernels/elementwise.h"
#include "finetune/kernels/passing.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void activate_into(at::Tensor y, const at::Tensor& x, lora::Activation activation) {
  switch (activation) {
    case lora::Activation::kSilu:
      at::silu_out(y, x);
      break;
    case lora::Activation::kGelu:
      at::gelu_out(y, x);
      break;
    case lora::Activation::kGeluTanh:
      at::gelu_out(y, x, "tanh");
      break;
    case lora::Activation::kRelu:
      at::relu_out(y, x);
      break;
  }
}

void gradient_into(at::Tensor dx, const at::Tensor& dy, const at::Tensor& x, lora::Activation activation) {
  switch (activation) {
    case lora::Activation::kSilu:
      at::silu_backward_out(dx, dy, x);
      break;
    case lora::Activation::kGelu:
      at::gelu_backward_out(dx, dy, x);
      break;
    case lora::Activation::kGeluTanh:
      at::gelu_backward_out(dx, dy, x, "tanh");
      break;
    case lora::Activation::kRelu:
      at::threshold_backward_out(dx, dy, x, 0);
      break;
  }
}

// Of x [T, gate | up] or [T, n], of which the graph keeps nothing else: autograd would keep the activation of each
// gate.
struct ActivationFunction : torch::autograd::Function<ActivationFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, bool gated, lora::Activation activation) {
    context->save_for_backward({x});
    context->saved_data["gated"] = gated;
    context->saved_data["activation"] = static_cast<std::int64_t>(activation);
    const std::int64_t n{gated ? x.size(1) / 2 : x.size(1)};
    at::Tensor y = passing_tensor({x.size(0), n}, x.options());
    activate_into(y, x.narrow(1, 0, n), activation);
    return gated ? y.mul_(x.narrow(1, n, n)) : y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    const auto activation = static_cast<lora::Activation>(context->saved_data["activation"].toInt());
    const at::Tensor& dy = gradients[0];
    at::Tensor dx = at::empty_like(x);
    if (!context->saved_data["gated"].toBool()) {
      gradient_into(dx, dy, x, activation);
      return {dx, {}, {}};
    }
    const std::int64_t n{x.size(1) / 2};
    at::Tensor between = passing_tensor({x.size(0), n}, x.options()), of_up = dx.narrow(1, n, n);
    activate_into(between, x.narrow(1, 0, n), activation);
    at::mul_out(of_up, dy, between);
    at::mul_out(between, dy, x.narrow(1, n, n));
    gradient_into(dx.narrow(1, 0, n), between, x.narrow(1, 0, n), activation);
    return {dx, {}, {}};
  }
};

}  // namespace

at::Tensor activate(const at::Tensor& x, const lora::MlpSpec& mlp) {
  if (mlp.gated && mlp.activation == lora::Activation::kSilu) return swiglu(x);
  return ActivationFunction::apply(x, mlp.gated, mlp.activation);
}

}  // namespace finetune
