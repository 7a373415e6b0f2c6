#include "finetune/elementwise.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps) {
    at::Tensor x32 = x.to(at::kFloat);
    at::Tensor inverse = x32.square().mean(-1, true).add_(eps).rsqrt_();  // [T, 1]
    context->save_for_backward({x, weight, inverse});
    return (x32 * inverse).to(x.scalar_type()) * weight;
  }
  // With n = x r, r = 1/rms: dx = r (g - n mean(g n)), g = dy * weight.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list saved = context->get_saved_variables();
    at::Tensor normal = saved[0].to(at::kFloat) * saved[2];
    at::Tensor g = gradients[0].to(at::kFloat) * saved[1].to(at::kFloat);
    at::Tensor mean = (g * normal).mean(-1, true);
    return {g.sub_(normal.mul_(mean)).mul_(saved[2]).to(saved[0].scalar_type()), at::Tensor(), at::Tensor()};
  }
};

struct SwigluFunction : torch::autograd::Function<SwigluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up) {
    context->save_for_backward({gate_up});
    std::int64_t n = gate_up.size(1) / 2;
    return at::silu(gate_up.narrow(1, 0, n)).mul_(gate_up.narrow(1, n, n));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    at::Tensor gate_up = context->get_saved_variables()[0];
    std::int64_t n = gate_up.size(1) / 2;
    at::Tensor gate = gate_up.narrow(1, 0, n), up = gate_up.narrow(1, n, n), d = at::empty_like(gate_up);
    d.narrow(1, 0, n).copy_(at::silu_backward(gradients[0] * up, gate));
    d.narrow(1, n, n).copy_(at::silu(gate).mul_(gradients[0]));
    return {d};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return RmsNormFunction::apply(x, weight, eps);
}

at::Tensor swiglu(const at::Tensor& gate_up) { return SwigluFunction::apply(gate_up); }

}  // namespace finetune
