// The norms of a decoder, each of its kinds. Tested by tests/finetune/spec_test.cc and model_test.cc.
#include "finetune/kernels/norm.h"

#include <ATen/ATen.h>

#include "finetune/kernels/elementwise.h"

namespace finetune {
namespace {

// As transformers' GemmaRMSNorm: rounded once, behind the product with 1 + w.
at::Tensor rms_norm_plus_one(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor x32 = x.to(at::kFloat);
  return (x32 * (x32.square().mean(-1, true) + eps).rsqrt() * weight).to(x.scalar_type());
}

}  // namespace

at::Tensor Norm::operator()(const at::Tensor& x) const {
  switch (kind) {
    case lora::NormKind::kNone:
      return x;
    case lora::NormKind::kRms:
      return rms_norm(x, weight, eps);
    case lora::NormKind::kRmsPlusOne:
      return rms_norm_plus_one(x, weight, eps);
    case lora::NormKind::kLayer:
      return at::layer_norm(x, weight.sizes(), weight, bias, eps);
  }
  return x;
}

}  // namespace finetune
