// One example of a training. Tested by tests/finetune/data_test.cc.
#include "finetune/data/example.h"

#include <algorithm>

namespace finetune {

std::int64_t Example::targets() const {
  if (trained.empty()) return 0;
  const auto is_learned = [](std::uint8_t mark) { return mark != 0 && mark != kCompared; };
  const bool is_second{second > 0 && second < trained.size() && is_learned(trained[second])};
  return std::ranges::count_if(trained, is_learned) - is_learned(trained[0]) - is_second;
}

}  // namespace finetune
