// One example of a training. Tested by tests/finetune/data_test.cc.
#include "finetune/data/example.h"

#include <algorithm>

namespace finetune {

std::int64_t Example::targets() const {
  if (trained.empty()) return 0;
  const auto count = static_cast<std::int64_t>(trained.size()) - std::ranges::count(trained, 0);
  const bool is_second{second > 0 && second < trained.size() && trained[second] != 0};
  return count - (trained[0] != 0) - is_second;
}

}  // namespace finetune
