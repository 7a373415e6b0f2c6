// The gradient of one optimizer step, on one or more processes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "finetune/data/packing.h"
#include "finetune/train/group.h"
#include "finetune/train/metrics.h"
#include "finetune/train/objective.h"
#include "finetune/train/optimizer.h"

namespace finetune {

class StepGradient {
 public:
  /// All must outlive this object. `seed` of the masks of dropout. `rows_at_once`: fewer than a batch has from the
  /// beginning, 0: all.
  StepGradient(const Objective& objective, const Transformer& model, Optimizer& optimizer, const Group& group,
               std::uint64_t seed, std::int64_t rows_per_batch, std::int64_t rows_at_once = 0)
      : objective_(objective),
        model_(model),
        optimizer_(optimizer),
        group_(group),
        seed_(seed),
        rows_per_batch_(rows_per_batch),
        rows_at_once_(rows_at_once > 0 ? rows_at_once : rows_per_batch) {}

  /// Sets the optimizer's gradient to that of `rows` (all of the step; each process takes a share of them) and
  /// returns their loss and counts. Where memory does not suffice, for any process, fewer rows go through the model at
  /// once from then on, and the step is made again: the gradient is the same sum, with the same masks of
  /// dropout, which follow from the seed, the step and the place in a row. `on_split` hears how many rows are left.
  /// `go_on` is asked before each batch of this process, told its number and how many there are. Nothing where it says
  /// no in any process.
  std::optional<StepMetrics> compute(
      std::int64_t step, const Examples& examples, std::span<const RowPlan> rows,
      const std::function<void(std::int64_t)>& on_split,
      const std::function<bool(std::size_t, std::size_t)>& go_on = [](std::size_t, std::size_t) { return true; });

  /// Of this process in the step made last, with the loss of each.
  const std::vector<PackedRow>& batches() const { return batches_; }
  const std::vector<double>& batch_losses() const { return batch_losses_; }

 private:
  void cut(std::int64_t step, const Examples& examples, std::span<const RowPlan> rows);
  enum class Outcome { kDone, kTooLarge, kEnded };
  using GoOn = std::function<bool(std::size_t, std::size_t)>;
  Outcome everywhere(const std::function<bool()>& work);
  bool add_gradients(const at::Tensor& totals, const GoOn& go_on, StepMetrics& metrics);
  bool add_totals(const GoOn& go_on, at::Tensor& sums) const;

  const Objective& objective_;
  const Transformer& model_;
  Optimizer& optimizer_;
  const Group& group_;
  std::uint64_t seed_;
  std::int64_t rows_per_batch_, rows_at_once_;
  std::vector<PackedRow> batches_;
  std::uint64_t mask_seed_ = 0;
  std::vector<double> batch_losses_;
};

}  // namespace finetune
