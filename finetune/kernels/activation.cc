// What an MLP does between its products. Tested by tests/finetune/spec_test.cc.
#include "finetune/kernels/activation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "finetune/kernels/elementwise.h"
#include "finetune/kernels/passing.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Calls f over pieces of tensors [T, n], always the same: ATen computes the last numbers of what a thread gets
// otherwise than vectors of numbers, so that its own shares would show in the last bits. Of so few it makes no shares.
template <class F, class... Tensors>
void in_pieces(F f, const at::Tensor& first, const Tensors&... others) {
  constexpr std::int64_t kNumbers = at::internal::GRAIN_SIZE / 2;
  const std::int64_t rows{first.size(0)}, columns{first.size(1)};
  if (!first.is_cpu()) return f(first, others...);
  const std::int64_t wide{std::min(columns, kNumbers)}, high{kNumbers / wide};
  const std::int64_t across{(columns + wide - 1) / wide}, pieces{(rows + high - 1) / high * across};
  at::parallel_for(0, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    const at::NoGradGuard no_gradient;  // threads have modes of their own
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const std::int64_t row{piece / across * high}, column{piece % across * wide};
      const auto part = [&](const at::Tensor& x) {
        return x.narrow(0, row, std::min(high, rows - row)).narrow(1, column, std::min(wide, columns - column));
      };
      f(part(first), part(others)...);
    }
  });
}

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

void activate(const at::Tensor& y, const at::Tensor& x, lora::Activation activation) {
  in_pieces([&](const at::Tensor& to, const at::Tensor& from) { activate_into(to, from, activation); }, y, x);
}

void differentiate(const at::Tensor& dx, const at::Tensor& dy, const at::Tensor& x, lora::Activation activation) {
  in_pieces(
      [&](const at::Tensor& to, const at::Tensor& by, const at::Tensor& of) { gradient_into(to, by, of, activation); },
      dx, dy, x);
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
    activate(y, x.narrow(1, 0, n), activation);
    return gated ? y.mul_(x.narrow(1, n, n)) : y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    const auto activation = static_cast<lora::Activation>(context->saved_data["activation"].toInt());
    const at::Tensor& dy = gradients[0];
    at::Tensor dx = at::empty_like(x);
    if (!context->saved_data["gated"].toBool()) {
      differentiate(dx, dy, x, activation);
      return {dx, {}, {}};
    }
    const std::int64_t n{x.size(1) / 2};
    at::Tensor between = passing_tensor({x.size(0), n}, x.options()), of_up = dx.narrow(1, n, n);
    activate(between, x.narrow(1, 0, n), activation);
    at::mul_out(of_up, dy, between);
    at::mul_out(between, dy, x.narrow(1, n, n));
    differentiate(dx.narrow(1, 0, n), between, x.narrow(1, 0, n), activation);
    return {dx, {}, {}};
  }
};

}  // namespace

at::Tensor activate(const at::Tensor& x, const lora::MlpSpec& mlp) {
  if (mlp.gated && mlp.activation == lora::Activation::kSilu) return swiglu(x);
  return ActivationFunction::apply(x, mlp.gated, mlp.activation);
}

}  // namespace finetune
