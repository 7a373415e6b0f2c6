// Loss and perplexity of a model on examples. Tested by tests/finetune/train_test.cc and commands_test.cc.
#include "finetune/train/evaluate.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <vector>

#include "finetune/data/packing.h"

namespace finetune {

std::optional<Evaluation> evaluate(const Transformer& model, const Objective& objective, const Examples& examples,
                                   std::int64_t max_length, bool packing, const std::function<bool(double)>& go_on) {
  const at::NoGradGuard no_gradient;
  Evaluation result;
  const std::vector<RowPlan> rows = plan_rows(examples, max_length, packing, 0);
  at::Tensor totals;
  for (const RowPlan& plan : rows) {
    if (!go_on(0)) return std::nullopt;
    const at::Tensor own = objective.totals(model, make_row(examples, plan, model.device()), 0);
    totals = totals.defined() ? totals + own : own;
  }
  result.figures.resize(objective.figure_names().size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!go_on(static_cast<double>(i) / static_cast<double>(rows.size()))) return std::nullopt;
    const PackedRow row = make_row(examples, rows[i], model.device());
    at::Tensor figures;
    result.loss += objective.loss(model, row, 0, totals, &figures).item<double>();
    for (std::size_t j = 0; j < result.figures.size(); ++j)
      result.figures[j] += figures[static_cast<std::int64_t>(j)].item<double>();
    result.trained_tokens += row.trained;
    result.tokens += row.ids.numel();
  }
  if (objective.has_perplexity()) result.perplexity = std::exp(result.loss);
  return result;
}

}  // namespace finetune
