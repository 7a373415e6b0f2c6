// Linear layers with LoRA: frozen weights, trained A and B, and no work for gradients that nobody needs.
// Tested by tests/finetune/model_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
  at::Tensor magnitude{};         ///< of DoRA, float32 leaf [out]: see forward_by_parts
  /// Frozen rows of A [n, in] and columns of B [out, n] beside those that train: what a start took out of W.
  at::Tensor frozen_a{}, frozen_b{};
  at::Tensor weight{}, bias{};  ///< float32 leaves in the place of the base's; undefined: frozen
  bool has_bias = false;
  /// A and B with all their rows and columns.
  at::Tensor whole_a() const;
  at::Tensor whole_b() const;
};

/// Linear layers that read the same input (q, k, v; gate, up; or one alone), computed as one product with their rows
/// joined. A and B are rounded to the type of x where they are used.
struct JoinedLinear {
  std::shared_ptr<const FrozenMatrix> weight;  ///< [sum of out, in]
  at::Tensor bias;                             ///< [sum of out] or undefined
  std::vector<Linear> parts;                   ///< in the order of the rows

  /// x [T, in] -> [T, sum of out], plus `residual` of that shape when it is defined. Differentiable in x, residual, A
  /// and B; the layer must outlive the graph. `dropout_seed` picks the masks, 0 = no dropout. `again`, where given,
  /// makes x anew for the backward pass, which then keeps its source alone (not where a part trains by its own passes).
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual, std::uint64_t dropout_seed,
                     const Recipe* again = nullptr) const;
};

/// Keeps each element with probability 1 - p: [rows, columns] holding 0 or 1 / (1 - p). A function of (seed, index,
/// position) alone, so that a backward pass draws the same mask again instead of storing it. On the CPU a position's
/// value does not depend on the number of threads.
at::Tensor dropout_mask(std::uint64_t seed, std::int64_t index, double p, at::IntArrayRef sizes,
                        const at::TensorOptions& options);

/// Float32 in [0, 1), 16 bits each, chosen in the same way.
at::Tensor uniform_numbers(std::uint64_t seed, std::int64_t index, at::IntArrayRef sizes,
                           const at::TensorOptions& options);

}  // namespace finetune
