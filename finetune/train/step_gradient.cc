// The gradient of one optimizer step, on one or more processes. Tested by tests/finetune/step_gradient_test.cc.
#include "finetune/train/step_gradient.h"

#include <algorithm>
#include <exception>

#include "base/random.h"
#include "finetune/kernels/library_errors.h"

namespace finetune {
namespace {

// Never 0, which would mean "no dropout".
std::uint64_t mask_seed(std::uint64_t seed, std::int64_t step) {
  return base::mix64(base::mix64(seed) + static_cast<std::uint64_t>(step)) | 1;
}

// The rows [first, last) of a step that a process takes.
struct Share {
  std::int64_t first, last;
};

// Whole batches where each process gets one: a cut one would be a pass more.
Share share_of(std::int64_t rows, std::int64_t rows_per_batch, const Group& group) {
  const std::int64_t batches{(rows + rows_per_batch - 1) / rows_per_batch},
      unit{batches >= group.size() ? rows_per_batch : 1}, units{(rows + unit - 1) / unit};
  const auto bound = [&](std::int64_t rank) { return std::min(rows, units * rank / group.size() * unit); };
  return {bound(group.rank()), bound(group.rank() + 1)};
}

}  // namespace

void StepGradient::cut(std::int64_t step, const Examples& examples, std::span<const RowPlan> rows) {
  batches_.clear(), batch_losses_.clear();
  const Share share = share_of(static_cast<std::int64_t>(rows.size()), rows_per_batch_, group_);
  mask_seed_ = mask_seed(seed_, step);
  for (std::int64_t first = share.first; first < share.last; first += rows_at_once_) {
    const std::int64_t count{std::min(rows_at_once_, share.last - first)};
    const auto batch = rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    batches_.push_back(make_batch(examples, batch, first, model_.device()));
  }
}

// How `work`, false where it was ended, came out in all processes.
StepGradient::Outcome StepGradient::everywhere(const std::function<bool()>& work) {
  const at::Tensor failures = at::zeros({2}, at::kDouble);
  try {
    if (!work()) failures[1].fill_(1);
  } catch (const std::exception& error) {
    if (rows_at_once_ == 1 || !is_out_of_memory(error)) throw;
    failures[0].fill_(1);
  }
  group_.all_reduce(failures);
  if (failures[1].item<double>() > 0) return Outcome::kEnded;
  return failures[0].item<double>() > 0 ? Outcome::kTooLarge : Outcome::kDone;
}

// What the batches of this process add to the sums of the step. A process without any has as many, all 0.
bool StepGradient::add_totals(const GoOn& go_on, at::Tensor& sums) const {
  sums = at::zeros({kMostTotals}, at::kDouble);
  for (const PackedRow& batch : batches_) {
    if (!go_on(0, batches_.size())) return false;
    const at::Tensor own = objective_.totals(model_, batch, mask_seed_);
    sums.narrow(0, 0, own.size(0)).add_(own);
  }
  return true;
}

// Forward and backward. Every trained token of the step weighs the same, whatever batch it is in.
bool StepGradient::add_gradients(const at::Tensor& totals, const GoOn& go_on, StepMetrics& metrics) {
  metrics = {};
  for (const std::string& name : objective_.figure_names()) metrics.figures.emplace_back(name, 0);
  for (std::size_t i = 0; i < batches_.size(); ++i) {
    if (!go_on(i, batches_.size())) return false;
    at::Tensor shares;
    const at::Tensor loss = objective_.loss(model_, batches_[i], mask_seed_, totals, &shares);
    loss.backward();
    batch_losses_.push_back(loss.item<double>());
    metrics.loss += batch_losses_.back();
    metrics.tokens += batches_[i].ids.numel();
    metrics.trained_tokens += batches_[i].trained;
    for (std::size_t j = 0; j < metrics.figures.size(); ++j)
      metrics.figures[j].second += shares[static_cast<std::int64_t>(j)].item<double>();
  }
  return true;
}

std::optional<StepMetrics> StepGradient::compute(std::int64_t step, const Examples& examples,
                                                 std::span<const RowPlan> rows,
                                                 const std::function<void(std::int64_t)>& on_split, const GoOn& go_on) {
  StepMetrics metrics;
  const auto attempt = [&] {
    at::Tensor sums;
    const Outcome cut_out{everywhere([&] {
      cut(step, examples, rows);
      return add_totals(go_on, sums);
    })};
    if (cut_out != Outcome::kDone) return cut_out;
    group_.all_reduce(sums);
    optimizer_.zero_gradients();
    return everywhere([&] { return add_gradients(sums, go_on, metrics); });
  };
  for (Outcome outcome = attempt(); outcome != Outcome::kDone; outcome = attempt()) {
    batches_.clear();
    if (outcome == Outcome::kEnded) return std::nullopt;
    rows_at_once_ = (rows_at_once_ + 1) / 2;
    on_split(rows_at_once_);
  }
  if (group_.size() == 1) return metrics;
  group_.all_reduce(optimizer_.gradient());
  std::vector<double> numbers = {metrics.loss, static_cast<double>(metrics.tokens),
                                 static_cast<double>(metrics.trained_tokens)};
  for (const auto& [name, value] : metrics.figures) numbers.push_back(value);
  const at::Tensor sums = at::tensor(numbers, at::kDouble);
  group_.all_reduce(sums);
  const double* sum = sums.const_data_ptr<double>();
  metrics.loss = sum[0];
  metrics.tokens = static_cast<std::int64_t>(sum[1]);
  metrics.trained_tokens = static_cast<std::int64_t>(sum[2]);
  for (std::size_t j = 0; j < metrics.figures.size(); ++j) metrics.figures[j].second = sum[3 + j];
  return metrics;
}

}  // namespace finetune
