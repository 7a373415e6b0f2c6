// The learning rate over a run: warm-up, then constant, linear or cosine. Tested by tests/finetune/optimizer_test.cc.
#include "finetune/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace finetune {

Schedule::Schedule(const std::string& kind, std::int64_t warmup, std::int64_t total) : warmup_(warmup), total_(total) {
  if (kind == "constant") {
    kind_ = Kind::kConstant;
  } else if (kind == "linear") {
    kind_ = Kind::kLinear;
  } else if (kind == "cosine") {
    kind_ = Kind::kCosine;
  } else {
    throw base::UsageError({"unknown schedule", "--schedule", kind, "constant, linear or cosine", ""});
  }
}

double Schedule::factor(std::int64_t step) const {
  if (step < warmup_) return static_cast<double>(step) / static_cast<double>(warmup_);
  const double rest = static_cast<double>(std::max<std::int64_t>(1, total_ - warmup_));
  switch (kind_) {
    case Kind::kConstant:
      return 1;
    case Kind::kLinear:
      return std::max(0.0, static_cast<double>(total_ - step) / rest);
    case Kind::kCosine:
      return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * (static_cast<double>(step - warmup_) / rest))));
  }
  return 1;
}

}  // namespace finetune
