// How many threads compute. Tested by tests/finetune/thread_count_test.cc.
#include "finetune/train/thread_count.h"

#include <algorithm>

namespace finetune {
namespace {

// Preemptions a second. Measured on two cores: alone 27 to 58, beside a program that computes without end 304.
constexpr double kOften = 100;
constexpr int kPatience = 8, kMostPatience = 32;

}  // namespace

int ThreadCount::next(double rate, double preemptions) {
  if (trying_ != Trying::kNothing) {
    const bool is_better{rate > rate_before_};
    if (!is_better) now_ += trying_ == Trying::kFewer ? 1 : -1;
    patience_ = is_better ? kPatience : std::min(2 * patience_, kMostPatience);
    rest_ = patience_;
    trying_ = Trying::kNothing;
  }
  if (rest_ > 0) {
    --rest_;
    return now_;
  }
  rate_before_ = rate;
  if (preemptions > kOften && now_ > 1) {
    trying_ = Trying::kFewer;
    --now_;
  } else if (now_ < most_) {
    trying_ = Trying::kMore;
    ++now_;
  }
  return now_;
}

}  // namespace finetune
