// Which validation was the best, and whether a run goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "finetune/train/metrics.h"

namespace finetune {

struct StoppingOptions {
  std::int64_t early_stopping_patience = 0;
  double early_stopping_threshold = 0;
  bool keep_best = false;
  std::string result = "auto";
  /// Whether the checkpoint of the best validation stays.
  bool keeps_best() const { return keep_best || takes_best() || early_stopping_patience > 0; }
  /// Whether the result of the run is the best one.
  bool takes_best() const {
    return result == "best" || (result == "auto" && (keep_best || early_stopping_patience > 0));
  }
  void visit(base::OptionVisitor& v);
};

/// Throws base::UsageError where nothing validates, and for a threshold without patience.
void check_stopping(const StoppingOptions& options, bool validates, std::int64_t eval_every);

/// What the validations of a run say, the one before the first step left aside: it needs no training.
struct Best {
  std::int64_t step = 0;  ///< the smallest loss of steps that have a checkpoint; 0: none has
  double loss = 0;
  std::int64_t waited = 0;  ///< validations since one was better than all before it by more than the threshold
};

/// A function of what metrics.jsonl holds, so that a resumed run counts on. Nothing before the first validation. A loss
/// that is no number is never the best. `has_checkpoint` of a step: what a run did not keep cannot be its result; all
/// validations count for `waited`.
std::optional<Best> best_of(
    const std::vector<EvaluationMetrics>& evaluations, double threshold,
    const std::function<bool(std::int64_t step)>& has_checkpoint = [](std::int64_t) { return true; });

}  // namespace finetune
