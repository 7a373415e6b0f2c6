// The norms of a decoder, each of its kinds. Tested by tests/finetune/spec_test.cc and model_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "lora/model/spec.h"

namespace finetune {

/// A norm over the last dimension. Differentiable in x, and in weight and bias where these train.
struct Norm {
  lora::NormKind kind = lora::NormKind::kNone;
  at::Tensor weight;  ///< [n]; of kRmsPlusOne 1 + w in float32, and w itself where it trains (a float32 leaf)
  at::Tensor bias;    ///< [n], of kLayer only
  double eps = 0;
  std::string name{};  ///< in the model, without ".weight"

  explicit operator bool() const { return kind != lora::NormKind::kNone; }
  /// x [T, n] -> [T, n]; x itself where there is no norm.
  at::Tensor operator()(const at::Tensor& x) const;
};

}  // namespace finetune
