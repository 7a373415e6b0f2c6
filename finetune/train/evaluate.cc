// Loss and perplexity of a model on examples. Tested by tests/finetune/evaluate_test.cc,
// train_test.cc and commands_test.cc.
#include "finetune/train/evaluate.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <vector>

#include "finetune/data/packing.h"

namespace finetune {

std::optional<Evaluation> evaluate(const Transformer& model, const Objective& objective, const Examples& examples,
                                   std::int64_t max_length, bool packing, const std::function<bool(double)>& go_on,
                                   const Group& group) {
  const at::NoGradGuard no_gradient;
  const auto size = static_cast<std::size_t>(group.size());
  std::vector<RowPlan> rows;  // those of this process
  const std::vector<RowPlan> all = plan_rows(examples, max_length, packing, 0);
  for (auto i = static_cast<std::size_t>(group.rank()); i < all.size(); i += size) rows.push_back(all[i]);
  // A process that is to end still sums with the others, which else would wait.
  bool is_ended = false;
  at::Tensor totals = at::zeros({kMostTotals}, at::kDouble);
  for (const RowPlan& plan : rows) {
    is_ended = !go_on(0);
    if (is_ended) break;
    const at::Tensor own = objective.totals(model, make_row(examples, plan, model.device()), 0);
    totals.narrow(0, 0, own.size(0)).add_(own);
  }
  if (group.any(is_ended)) return std::nullopt;
  group.all_reduce(totals);
  const std::size_t names{objective.figure_names().size()};
  std::vector<double> sums(names + 3);  // loss, trained tokens, tokens, then the figures
  for (std::size_t i = 0; i < rows.size(); ++i) {
    is_ended = !go_on(static_cast<double>(i) / static_cast<double>(rows.size()));
    if (is_ended) break;
    const PackedRow row = make_row(examples, rows[i], model.device());
    at::Tensor figures;
    sums[0] += objective.loss(model, row, 0, totals, &figures).item<double>();
    sums[1] += static_cast<double>(row.trained);
    sums[2] += static_cast<double>(row.ids.numel());
    for (std::size_t j = 0; j < names; ++j) sums[3 + j] += figures[static_cast<std::int64_t>(j)].item<double>();
  }
  if (group.any(is_ended)) return std::nullopt;
  const at::Tensor summed = at::tensor(sums, at::kDouble);
  group.all_reduce(summed);
  const double* sum = summed.const_data_ptr<double>();
  Evaluation result{sum[0],
                    std::nullopt,
                    static_cast<std::int64_t>(sum[1]),
                    static_cast<std::int64_t>(sum[2]),
                    {sum + 3, sum + 3 + names}};
  if (objective.has_perplexity()) result.perplexity = std::exp(result.loss);
  return result;
}

}  // namespace finetune
