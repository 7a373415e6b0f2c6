// What a training minimises. Tested by tests/finetune/objective_test.cc and train_test.cc.
#pragma once

#include <cstdint>

#include "finetune/model/model.h"

namespace finetune {

/// The loss of an optimizer step is the sum over its batches of `loss_sum`, divided by the sum of their `normaliser`.
class Objective {
 public:
  virtual ~Objective() = default;
  /// Scalar float32, differentiable. `dropout_seed` as of Transformer::hidden.
  virtual at::Tensor loss_sum(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed) const = 0;
  virtual double normaliser(const PackedRow& batch) const = 0;
};

/// Supervised fine-tuning: the negative log-likelihood of the trained tokens, each of which weighs the same.
class AnswerObjective final : public Objective {
 public:
  at::Tensor loss_sum(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed) const override {
    return model.loss_sum(batch, dropout_seed);
  }
  double normaliser(const PackedRow& batch) const override { return static_cast<double>(batch.trained); }
};

}  // namespace finetune
