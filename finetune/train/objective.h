// What a training minimises. Tested by tests/finetune/objective_test.cc, preferences_test.cc and train_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "finetune/model/model.h"

namespace finetune {

inline constexpr std::int64_t kMostTotals = 4;

/// A step is made of batches, and its loss is the same however it is cut into them: first the totals of its batches are
/// summed, over all processes too, then each batch adds its share of the loss.
class Objective {
 public:
  virtual ~Objective() = default;
  /// What the batch adds to the sums that the loss of a step is made with, [n] float64 on the CPU, n at most
  /// kMostTotals. No gradients.
  /// `dropout_seed` as of Transformer::hidden.
  virtual at::Tensor totals(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed) const = 0;
  /// The batch's share of the loss, given the sums over its step: scalar float32, differentiable. `figures`, where
  /// given, gets the batch's share of each of figure_names(), [n] float64; it stays undefined where there are none.
  virtual at::Tensor loss(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                          const at::Tensor& totals, at::Tensor* figures = nullptr) const = 0;
  /// What else is worth telling, under the names of metrics.jsonl. NaN: this step has nothing of it.
  virtual std::vector<std::string> figure_names() const { return {}; }
  /// Whether exp(loss) is a perplexity.
  virtual bool has_perplexity() const { return false; }
};

/// Supervised fine-tuning: the negative log-likelihood of the trained tokens, each of which weighs the same.
class AnswerObjective final : public Objective {
 public:
  at::Tensor totals(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed) const override;
  at::Tensor loss(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                  const at::Tensor& totals, at::Tensor* figures = nullptr) const override;
  bool has_perplexity() const override { return true; }
};

}  // namespace finetune
