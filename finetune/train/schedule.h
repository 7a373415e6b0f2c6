// The learning rate over a run: warm-up, then constant, linear, cosine, or stable and then down.
#pragma once

#include <cstdint>
#include <string>

#include "base/options.h"

namespace finetune {

struct ScheduleOptions {
  std::string schedule = "cosine";
  std::int64_t warmup_steps = 0;
  double warmup_ratio = 0.03;
  std::int64_t decay_steps = 0;
  double decay_ratio = 0.1;
  std::string decay_shape = "cosine";
  double min_learning_rate_ratio = 0;
  void visit(base::OptionVisitor& v);
};

/// How many steps each part of a run has. `warmup` of `steps`, never all of them; `decay` of wsd, at most the rest.
struct Phases {
  std::int64_t warmup = 0, decay = 0, steps = 0;
};

/// The warm-up that is asked for, which the phases of a short run cut.
std::int64_t warmup_of(const ScheduleOptions& options, std::int64_t steps);
/// Throws base::UsageError where --decay-steps does not fit behind the warm-up.
Phases phases_of(const ScheduleOptions& options, std::int64_t steps);

/// Throws base::UsageError for what the chosen schedule does not read and `declared` (may be null) says was given.
void check_schedule(const ScheduleOptions& options, const base::OptionSet* declared);

/// The factor on the peak rate at each optimizer step, as transformers' schedules give it: constant, linear and cosine
/// (half a period) with warm-up; with a least rate polynomial of power 1 and cosine_with_min_lr; wsd
/// (warmup_stable_decay), whose warm-up begins at the least rate.
class Schedule {
 public:
  Schedule(const ScheduleOptions& options, const Phases& phases);
  /// Step t, from 0: t / warmup during warm-up (so the first step of a warm-up has rate 0), at most 1 after it.
  double factor(std::int64_t step) const;

 private:
  double fallen(double progress, const std::string& shape) const;  // from 1 to the least

  std::string kind_, shape_;
  double least_;
  Phases phases_;
};

}  // namespace finetune
