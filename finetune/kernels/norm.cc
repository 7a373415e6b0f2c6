// The norms of a decoder, each of its kinds. Tested by tests/finetune/spec_test.cc and model_test.cc.
#include "finetune/kernels/norm.h"

#include <ATen/ATen.h>

#include "finetune/kernels/elementwise.h"

namespace finetune {
namespace {

// As transformers computes it in torch's operations: the passes of our own know no gradient of the weight.
at::Tensor trained_norm(const Norm& norm, const at::Tensor& x) {
  const at::Tensor x32 = x.to(at::kFloat);
  if (norm.kind == lora::NormKind::kLayer)
    return at::layer_norm(x32, norm.weight.sizes(), norm.weight, norm.bias.to(at::kFloat), norm.eps)
        .to(x.scalar_type());
  const at::Tensor normed = x32 * (x32.square().mean(-1, true) + norm.eps).rsqrt();
  const at::Tensor weight = norm.kind == lora::NormKind::kRmsPlusOne ? norm.weight + 1 : norm.weight;
  return (normed * weight).to(x.scalar_type());
}

}  // namespace

at::Tensor Norm::operator()(const at::Tensor& x) const {
  if (weight.defined() && weight.requires_grad()) return trained_norm(*this, x);
  switch (kind) {
    case lora::NormKind::kNone:
      return x;
    case lora::NormKind::kRms:
    case lora::NormKind::kRmsPlusOne:
      return rms_norm(x, weight, eps);
    case lora::NormKind::kLayer:
      return layer_norm(x, weight, bias, eps);
  }
  return x;
}

}  // namespace finetune
