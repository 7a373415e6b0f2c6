// One example of a training. Tested by tests/finetune/data_test.cc.
#include "finetune/data/example.h"

namespace finetune {

std::int64_t Example::targets() const {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < trained.size(); ++i) count += i != second && trained[i] != 0;
  return count;
}

}  // namespace finetune
