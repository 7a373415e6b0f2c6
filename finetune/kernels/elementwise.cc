// Each operation in ATen's passes and in one of our own, and its gradient. Tested by tests/finetune/model_test.cc.
#include "finetune/kernels/elementwise.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "finetune/kernels/fused_rows.h"
#include "finetune/kernels/passing.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// On a CUDA device LibTorch has the norm without its weight, and the whole gradient, in a kernel each.
bool has_kernel(const at::Tensor& x, const at::Tensor& weight) {
  return x.is_cuda() && weight.scalar_type() == x.scalar_type();
}

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps) {
    auto [y, inverse] = rms_norm_forward(x, weight, eps, passes_for(x));
    context->save_for_backward({x, weight, inverse});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list saved = context->get_saved_variables();
    return {rms_norm_backward(gradients[0], saved[0], saved[1], saved[2], passes_for(saved[0])), {}, {}};
  }
};

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, double eps) {
    const auto [y, moments] = layer_norm_forward(x, weight, bias, eps, passes_for(x));
    context->save_for_backward({x, weight, bias, moments});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    return {
        layer_norm_backward(gradients[0], saved[0], saved[1], saved[2], saved[3], passes_for(saved[0])), {}, {}, {}};
  }
};

struct SwigluFunction : torch::autograd::Function<SwigluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up) {
    context->save_for_backward({gate_up});
    return swiglu_forward(gate_up, passes_for(gate_up));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    at::Tensor gate_up = context->get_saved_variables()[0];
    return {swiglu_backward(gradients[0], gate_up, passes_for(gate_up))};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return RmsNormFunction::apply(x, weight, eps);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  return LayerNormFunction::apply(x, weight, bias, eps);
}

at::Tensor swiglu(const at::Tensor& gate_up) { return SwigluFunction::apply(gate_up); }

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double eps,
                                                    Passes passes) {
  if (passes == Passes::kFused) {
    at::Tensor y = passing_tensor(x.sizes(), x.options()),
               inverse = at::empty({x.size(0), 1}, x.options().dtype(at::kFloat));
    fused::rms_norm_forward(x, weight, static_cast<float>(eps), y, inverse);
    return {y, inverse};
  }
  if (has_kernel(x, weight)) {
    const auto [normal, inverse] = at::_fused_rms_norm(x, weight.sizes(), std::nullopt, eps);
    return {normal * weight, inverse};
  }
  at::Tensor x32 = x.to(at::kFloat);
  at::Tensor inverse = x32.square().mean(-1, true).add_(eps).rsqrt_();
  if (weight.scalar_type() != x.scalar_type()) return {(x32 * inverse).mul_(weight).to(x.scalar_type()), inverse};
  return {(x32 * inverse).to(x.scalar_type()) * weight, inverse};
}

// With n = x r, r = 1 / rms: dx = r (g - n mean(g n)), g = dy * weight.
at::Tensor rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& inverse, Passes passes) {
  if (passes == Passes::kFused) {
    at::Tensor dx = at::empty_like(x);
    fused::rms_norm_backward(dy.contiguous(), x, weight, inverse, dx);
    return dx;
  }
  if (has_kernel(x, weight))
    return std::get<0>(
        at::_fused_rms_norm_backward(dy.contiguous(), x, weight.sizes(), inverse, weight, {true, false}));
  at::Tensor normal = x.to(at::kFloat) * inverse;
  at::Tensor g = dy.to(at::kFloat) * weight.to(at::kFloat);
  at::Tensor mean = (g * normal).mean(-1, true);
  return g.sub(normal.mul_(mean)).mul_(inverse).to(x.scalar_type());
}

std::tuple<at::Tensor, at::Tensor> layer_norm_forward(const at::Tensor& x, const at::Tensor& weight,
                                                      const at::Tensor& bias, double eps, Passes passes) {
  if (passes == Passes::kFused) {
    at::Tensor y = passing_tensor(x.sizes(), x.options()),
               moments = at::empty({x.size(0), 2}, x.options().dtype(at::kFloat));
    fused::layer_norm_forward(x, weight, bias, static_cast<float>(eps), y, moments);
    return {y, moments};
  }
  const auto [y, mean, inverse] = at::native_layer_norm(x, weight.sizes(), weight, bias, eps);
  return {y, at::stack({mean, inverse})};
}

at::Tensor layer_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, const at::Tensor& moments, Passes passes) {
  if (passes == Passes::kFused) {
    at::Tensor dx = at::empty_like(x);
    fused::layer_norm_backward(dy.contiguous(), x, weight, moments, dx);
    return dx;
  }
  return std::get<0>(at::native_layer_norm_backward(dy, x, weight.sizes(), moments[0], moments[1], weight, bias,
                                                    {true, false, false}));
}

at::Tensor swiglu_forward(const at::Tensor& gate_up, Passes passes) {
  std::int64_t n = gate_up.size(1) / 2;
  if (passes == Passes::kFused) {
    at::Tensor y = passing_tensor({gate_up.size(0), n}, gate_up.options());
    fused::swiglu_forward(gate_up, y);
    return y;
  }
  return at::silu(gate_up.narrow(1, 0, n)).mul_(gate_up.narrow(1, n, n));
}

at::Tensor swiglu_backward(const at::Tensor& dy, const at::Tensor& gate_up, Passes passes) {
  std::int64_t n = gate_up.size(1) / 2;
  at::Tensor d = at::empty_like(gate_up);
  if (passes == Passes::kFused) {
    fused::swiglu_backward(dy.contiguous(), gate_up, d);
    return d;
  }
  at::Tensor gate = gate_up.narrow(1, 0, n), up = gate_up.narrow(1, n, n);
  d.narrow(1, 0, n).copy_(at::silu_backward(dy * up, gate));
  d.narrow(1, n, n).copy_(at::silu(gate).mul_(dy));
  return d;
}

at::Tensor rotate(const at::Tensor& heads, std::int64_t turned, const Rotation& rotation, bool inverse, Passes passes) {
  const std::int64_t turned_dim{rotated_dim(rotation)}, rest{heads.size(2) - turned_dim}, half{turned_dim / 2};
  if (turned_dim == 0) return heads;
  if (passes == Passes::kFused) {
    at::Tensor result = at::empty_like(heads);
    fused::rotate(heads, turned, rotation.cosines, rotation.sines, inverse ? -1.0f : 1.0f, result);
    return result;
  }
  at::Tensor x = heads.narrow(1, 0, turned).narrow(2, 0, turned_dim).to(at::kFloat);
  at::Tensor x1 = x.narrow(2, 0, half), x2 = x.narrow(2, half, half);
  double sign = inverse ? -1 : 1;
  at::Tensor y1 = (x1 * rotation.cosines).addcmul_(x2, rotation.sines, -sign);
  at::Tensor y2 = (x2 * rotation.cosines).addcmul_(x1, rotation.sines, sign);
  at::Tensor result = at::cat({y1, y2}, 2).to(heads.scalar_type());
  if (rest > 0) result = at::cat({result, heads.narrow(1, 0, turned).narrow(2, turned_dim, rest)}, 2);
  return at::cat({result, heads.narrow(1, turned, heads.size(1) - turned)}, 1);
}

}  // namespace finetune
