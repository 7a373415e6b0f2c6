// Which validation was the best, and whether a run goes on. Tested by tests/finetune/early_stopping_test.cc.
#include "finetune/train/early_stopping.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"

namespace finetune {

void StoppingOptions::visit(base::OptionVisitor& v) {
  v("early_stopping_patience", early_stopping_patience,
    "stop when so many validations in a row are no better than the best one before them; 0: never")
      .at_least(0);
  v("early_stopping_threshold", early_stopping_threshold, "better is a validation loss that is lower by more than this")
      .at_least(0);
  v("keep_best", keep_best, "keep the checkpoint of the lowest validation loss beside the newest ones");
  v.choice("result", result, {"auto", "last", "best"},
           "the adapter or model at the end: of the last step, or of the lowest validation loss; auto: best with "
           "--keep-best or --early-stopping-patience, else last");
}

void check_stopping(const StoppingOptions& options, bool validates, std::int64_t eval_every) {
  if (options.early_stopping_threshold > 0 && options.early_stopping_patience == 0)
    throw base::UsageError({"nothing stops early", "--early-stopping-threshold",
                            fmt::format("{}", options.early_stopping_threshold), "--early-stopping-patience with it",
                            ""});
  if (validates && options.early_stopping_patience > 0 && eval_every == 0)
    throw base::UsageError({"nothing is validated before the end, and nothing stops early", "--early-stopping-patience",
                            fmt::format("{}", options.early_stopping_patience), "--eval-every above 0 with it", ""});
  if (validates) return;
  const auto refuse = [](const char* option, const std::string& value) {
    throw base::UsageError({"without validation no step is the best", option, value,
                            "--validation-data or --validation-share with it", ""});
  };
  if (options.early_stopping_patience > 0)
    refuse("--early-stopping-patience", fmt::format("{}", options.early_stopping_patience));
  if (options.keep_best) refuse("--keep-best", "true");
  if (options.result == "best") refuse("--result", "best");
}

std::optional<Best> best_of(const std::vector<EvaluationMetrics>& evaluations, double threshold,
                            const std::function<bool(std::int64_t step)>& has_checkpoint) {
  std::optional<Best> best;
  double reference{INFINITY};
  for (const EvaluationMetrics& each : evaluations) {
    if (each.step == 0) continue;
    if (!best) best = Best{0, NAN, 0};
    const bool is_lower{each.loss < best->loss || (std::isnan(best->loss) && !std::isnan(each.loss))};
    if (has_checkpoint(each.step) && (best->step == 0 || is_lower)) best->step = each.step, best->loss = each.loss;
    const bool is_better{each.loss < reference - threshold};
    if (is_better) reference = each.loss;
    best->waited = is_better ? 0 : best->waited + 1;
  }
  return best;
}

}  // namespace finetune
