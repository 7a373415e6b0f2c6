// One block of a decoder: the norms and linear layers of its spec, and in which order they are computed.
// Tested by tests/finetune/spec_test.cc and parity_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "finetune/adapt/linear.h"
#include "finetune/kernels/attention.h"
#include "finetune/kernels/norm.h"
#include "finetune/model/experts.h"
#include "finetune/weights/load_weights.h"
#include "lora/model/model_files.h"

namespace finetune {

/// Weight (and bias) of a norm of `files`.
Norm load_norm(const lora::ModelFiles& files, const lora::NormSpec& spec, const at::TensorOptions& options);

class Block {
 public:
  /// q | k | v [T, (heads + 2 kv_heads) head_dim] before rotation -> [T, heads head_dim].
  using Attend = std::function<at::Tensor(const at::Tensor& qkv)>;

  /// `index`: the number of the next linear layer in the model, counted on.
  Block(const lora::ModelFiles& files, const lora::BlockSpec& spec, const at::TensorOptions& options,
        Quantization quantization, std::int64_t& index);
  /// x [T, hidden] -> [T, hidden]. `draws` picks the masks of dropout. `shares` may be null.
  at::Tensor forward(const at::Tensor& x, const Draws& draws, const Attend& attend, RouterShares* shares) const;
  const AttentionShape& shape() const { return shape_; }
  /// Every linear layer in forward order.
  template <class F>
  void for_each_linear(F f) {
    for (JoinedLinear& product : products_)
      for (Linear& linear : product.parts) f(linear);
  }
  std::vector<JoinedLinear>& products() { return products_; }
  /// What trains of it.
  std::vector<at::Tensor> leaves() const;
  /// Every norm that there is.
  template <class F>
  void for_each_norm(F f) {
    for (Norm* norm : {&attention_norm_, &attention_post_norm_, &mlp_norm_, &mlp_post_norm_, &q_norm_, &k_norm_})
      if (*norm) f(*norm);
  }

 private:
  at::Tensor in_order(const at::Tensor& qkv) const;  // q | k | v of what stands by key heads
  at::Tensor with_normed_heads(const at::Tensor& qkv) const;

  Norm attention_norm_, attention_post_norm_, mlp_norm_, mlp_post_norm_, q_norm_, k_norm_;
  std::vector<JoinedLinear> products_;  // as lora::products_of: q | k | v, attention's out, then the MLP's
  AttentionShape shape_;
  lora::MlpSpec mlp_;
  bool parallel_ = false, grouped_ = false;
};

}  // namespace finetune
