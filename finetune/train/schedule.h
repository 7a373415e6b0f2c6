// The learning rate over a run: warm-up, then constant, linear or cosine.
#pragma once

#include <cstdint>
#include <string>

namespace finetune {

/// The factor on the peak rate at each optimizer step, as transformers' get_constant_schedule_with_warmup,
/// get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup (half a period) give it.
class Schedule {
 public:
  /// `kind` is "constant", "linear" or "cosine" (else UsageError). `warmup` and `total` in optimizer steps.
  Schedule(const std::string& kind, std::int64_t warmup, std::int64_t total);
  /// Step t, from 0: t / warmup during warm-up (so the first step of a warm-up has rate 0), at most 1 after it.
  double factor(std::int64_t step) const;

 private:
  enum class Kind { kConstant, kLinear, kCosine } kind_;
  std::int64_t warmup_, total_;
};

}  // namespace finetune
