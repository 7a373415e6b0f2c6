// Linear layers that train otherwise than by A and B alone: DoRA, and weights that train whole.
// Tested by tests/finetune/variants_test.cc.
#pragma once

#include <unordered_map>

#include "finetune/adapt/linear.h"

namespace finetune {

/// JoinedLinear::forward, part by part. With a magnitude a part is DoRA, as dora_forward says, with dropout as PEFT has
/// it: y = x W^T + bias + (c - 1) * d W^T + c * scale * d A^T B^T, d = dropout(x).
at::Tensor forward_by_parts(const JoinedLinear& layer, const at::Tensor& x, const at::Tensor& residual,
                            const Draws& draws);

/// x weight^T, differentiable in both: x [T, in], weight [out, in], a leaf of any type, computed with in x's.
at::Tensor trained_product(const at::Tensor& x, const at::Tensor& weight);
/// x W^T, differentiable in x.
at::Tensor frozen_product(const FrozenMatrix& matrix, const at::Tensor& x);

/// What LoRA or DoRA adds to rows [first, first + out) of `all` = x W^T. `dropped` is dropout(x), or x itself.
at::Tensor adapter_product(const FrozenMatrix& matrix, std::int64_t first, const Linear& part, const at::Tensor& all,
                           const at::Tensor& x, const at::Tensor& dropped);

/// Lengths by the layer whose they are: good as long as its A and B stay as they are.
using Lengths = std::unordered_map<const Linear*, at::Tensor>;
/// While it lives, this thread's row_lengths and column_lengths take what is in `kept`, and put into it what is not:
/// text is generated token by token with the same A and B, and lengths cost as much as the products.
class KeptLengths {
 public:
  explicit KeptLengths(Lengths& kept);
  ~KeptLengths();
  KeptLengths(const KeptLengths&) = delete;
  KeptLengths& operator=(const KeptLengths&) = delete;

 private:
  Lengths* before_;
};

/// The lengths [out] in float32 of rows [first, first + out) of W + scale * B A; A and B may be undefined. No autograd;
/// W passes in pieces.
at::Tensor row_lengths(const FrozenMatrix& matrix, std::int64_t first, const Linear& part);
/// Those [in] of the columns of all of W + scale * B A, likewise: what DoRA scales of an embedding.
at::Tensor column_lengths(const FrozenMatrix& matrix, const Linear& part);

}  // namespace finetune
