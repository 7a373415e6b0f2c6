// Linear layers with LoRA: frozen weights, trained A and B, and no work for gradients that nobody needs.
// Tested by tests/finetune/model_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "finetune/adapt/draws.h"
#include "finetune/adapt/recompute.h"
#include "finetune/weights/frozen_matrix.h"

namespace finetune {

/// One linear layer of the base, with or without LoRA: y = x W^T + bias + scale * dropout(x) A^T B^T; or trained whole.
struct Linear {
  std::string name;               ///< "model.layers.0.self_attn.q_proj"
  std::int64_t index = 0;         ///< number of this module in the model: picks its own dropout mask
  std::int64_t in = 0, out = 0;   ///< features
  at::Tensor lora_a, lora_b;      ///< float32 leaf tensors [rank, in], [out, rank]; undefined without LoRA
  double scale = 0, dropout = 0;  ///< alpha / rank (rsLoRA: alpha / sqrt(rank)); probability
  at::Tensor magnitude{};         ///< of DoRA, float32 leaf [out]: see dora_forward; of an embedding [in]
  /// Frozen rows of A [n, in] and columns of B [out, n] beside those that train: what a start took out of W.
  at::Tensor frozen_a{}, frozen_b{};
  at::Tensor weight{}, bias{};  ///< float32 leaves in the place of the base's; undefined: frozen
  bool has_bias = false;
  /// A and B with all their rows and columns.
  at::Tensor whole_a() const;
  at::Tensor whole_b() const;
  /// Whether it reads dropout(x) with these.
  bool drops(const Draws& draws) const { return dropout > 0 && draws.is_on(); }
};

/// Linear layers that read the same input (q, k, v; gate, up; or one alone), computed as one product with their rows
/// joined. A and B are rounded to the type of x where they are used, but for one row of generated text.
struct JoinedLinear {
  std::shared_ptr<const FrozenMatrix> weight;  ///< [sum of out, in]
  at::Tensor bias;                             ///< [sum of out] or undefined
  std::vector<Linear> parts;                   ///< in the order of the rows

  /// x [T, in] -> [T, sum of out], plus `residual` of that shape when it is defined. Differentiable in x, residual, A
  /// and B; the layer must outlive the graph. `draws` picks the masks of dropout. `again`, where given,
  /// makes x anew for the backward pass, which then keeps its source alone (not where a part trains by its own passes).
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual, const Draws& draws,
                     const Recipe* again = nullptr) const;
};

}  // namespace finetune
