// The learning rate over a run: warm-up, then constant, linear, cosine, or stable and then down. Tested by
// tests/finetune/optimizer_test.cc and schedule_test.cc.
#include "finetune/train/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/text.h"
#include "finetune/train/train_checks.h"

namespace finetune {

void ScheduleOptions::visit(base::OptionVisitor& v) {
  v.choice("schedule", schedule, {"constant", "linear", "cosine", "wsd"},
           "the rate after warm-up; wsd (warm-up, stable, decay) stays at the peak and falls at the end");
  v("warmup_steps", warmup_steps, "steps of warm-up; 0: by --warmup-ratio").at_least(0);
  v("warmup_ratio", warmup_ratio, "share of the steps that warm up").between(0, 1);
  v("decay_steps", decay_steps, "wsd: steps in which the rate falls; 0: by --decay-ratio").at_least(0);
  v("decay_ratio", decay_ratio, "wsd: share of the steps in which the rate falls").between(0, 1);
  v.choice("decay_shape", decay_shape, {"cosine", "linear", "1-sqrt"}, "wsd: how the rate falls");
  v("min_learning_rate_ratio", min_learning_rate_ratio, "where the rate falls to, as a share of the peak")
      .between(0, 1);
}

std::int64_t warmup_of(const ScheduleOptions& options, std::int64_t steps) {
  if (options.warmup_steps > 0) return options.warmup_steps;
  return static_cast<std::int64_t>(std::ceil(options.warmup_ratio * static_cast<double>(steps)));
}

Phases phases_of(const ScheduleOptions& options, std::int64_t steps) {
  Phases phases{std::min(warmup_of(options, steps), steps - 1), 0, steps};
  if (options.schedule != "wsd") return phases;
  const std::int64_t rest{steps - phases.warmup};
  if (options.decay_steps > rest)
    throw base::UsageError({"more steps of decay than the run has after its warm-up", "--decay-steps",
                            fmt::format("{}", options.decay_steps), fmt::format("at most {} of {} steps", rest, steps),
                            "give fewer, or --decay-ratio"});
  const double share{std::ceil(options.decay_ratio * static_cast<double>(steps))};
  phases.decay = options.decay_steps > 0 ? options.decay_steps : std::min(static_cast<std::int64_t>(share), rest);
  return phases;
}

void check_schedule(const ScheduleOptions& options, const base::OptionSet* declared) {
  const auto refuse = [&](const char* option, const char* schedules) {
    if (!is_chosen(declared, option)) return;
    const base::Option& found = *declared->find(option);
    throw base::UsageError({"the schedule does not have that", found.flag(), base::join(found.get(), ", "),
                            std::string("--schedule ") + schedules, "leave the option out"});
  };
  if (options.schedule != "wsd")
    for (const char* option : {"decay_steps", "decay_ratio", "decay_shape"}) refuse(option, "wsd");
  if (options.schedule == "constant") refuse("min_learning_rate_ratio", "linear, cosine, wsd");
}

Schedule::Schedule(const ScheduleOptions& options, const Phases& phases)
    : kind_(options.schedule),
      shape_(kind_ == "wsd" ? options.decay_shape : kind_),
      least_(options.min_learning_rate_ratio),
      phases_(phases) {}

double Schedule::fallen(double progress, const std::string& shape) const {
  double factor{1 - progress};
  if (shape == "cosine") factor = 0.5 * (1 + std::cos(std::numbers::pi * progress));
  if (shape == "1-sqrt") factor = 1 - std::sqrt(progress);
  return std::max(0.0, factor * (1 - least_) + least_);
}

double Schedule::factor(std::int64_t step) const {
  const auto share = [](std::int64_t part, std::int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(std::max<std::int64_t>(1, whole));
  };
  const bool is_wsd{kind_ == "wsd"};
  if (step < phases_.warmup) {
    const double rising{share(step, phases_.warmup)};
    return is_wsd ? rising * (1 - least_) + least_ : rising;
  }
  if (kind_ == "constant") return 1;
  const std::int64_t decay{is_wsd ? phases_.decay : phases_.steps - phases_.warmup};
  const std::int64_t fall{step - (phases_.steps - decay)};
  return fall <= 0 ? 1 : fallen(std::min(1.0, share(fall, decay)), shape_);
}

}  // namespace finetune
