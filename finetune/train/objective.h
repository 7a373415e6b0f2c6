// What a training minimises. Tested by tests/finetune/objective_test.cc and train_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "finetune/model/model.h"

namespace finetune {

/// The loss of an optimizer step is the sum over its batches of `loss_sum`, divided by the sum of their `normaliser`.
class Objective {
 public:
  virtual ~Objective() = default;
  /// Scalar float32, differentiable. `dropout_seed` as of Transformer::hidden. `figures`, where given, gets the sum
  /// over the batch of each of figure_names(), which `normaliser` divides too; it stays undefined where there are none.
  virtual at::Tensor loss_sum(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                              at::Tensor* figures = nullptr) const = 0;
  virtual double normaliser(const PackedRow& batch) const = 0;
  /// What else is worth telling, under the names of metrics.jsonl.
  virtual std::vector<std::string> figure_names() const { return {}; }
};

/// Supervised fine-tuning: the negative log-likelihood of the trained tokens, each of which weighs the same.
class AnswerObjective final : public Objective {
 public:
  at::Tensor loss_sum(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                      at::Tensor* /*figures*/ = nullptr) const override {
    return model.loss_sum(batch, dropout_seed);
  }
  double normaliser(const PackedRow& batch) const override { return static_cast<double>(batch.trained); }
};

}  // namespace finetune
