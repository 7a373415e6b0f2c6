// The embedding and the head, a matrix with a row for each token: frozen, with LoRA, with some rows that train, or
// trained whole. Tested by tests/finetune/variants_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "finetune/adapt/linear.h"

namespace finetune {

struct VocabularyMatrix {
  std::shared_ptr<const FrozenMatrix> matrix;  ///< [vocab, hidden]; null where `linear.weight` trains in its place
  Linear linear;                               ///< LoRA or the whole weight, float32; out = vocab, in = hidden
  at::Tensor token_ids;  ///< [n] int64: rows that `token_rows` [n, hidden], a float32 leaf, stands for
  at::Tensor token_rows;

  /// True where something of it is not the base's.
  bool is_adapted() const { return linear.lora_a.defined() || linear.weight.defined() || token_rows.defined(); }
  /// Rows by their numbers [T] int64 -> [T, hidden] in the type of the weights. Differentiable in what trains.
  at::Tensor rows(const at::Tensor& ids, const at::TensorOptions& options) const;
  /// hidden W^T + bias: [T, hidden] -> [T, vocab]; `dropped` is what LoRA reads, `hidden` itself or with dropout.
  at::Tensor product(const at::Tensor& hidden, const at::Tensor& dropped, const at::Tensor& bias) const;
  /// The leaves that train.
  std::vector<at::Tensor> leaves() const;
};

}  // namespace finetune
