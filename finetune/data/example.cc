// One example of a training. Tested by tests/finetune/data_test.cc.
#include "finetune/data/example.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace finetune {

std::int64_t Example::targets() const {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < trained.size(); ++i) count += i == second ? 0 : trained[i];
  return count;
}

std::vector<Example> take_validation(std::vector<Example>& examples, double share, std::uint64_t seed) {
  const auto count =
      std::max<std::size_t>(1, static_cast<std::size_t>(std::llround(share * static_cast<double>(examples.size()))));
  if (!(share > 0 && share < 1) || count >= examples.size()) {
    throw base::UsageError({"the validation share leaves nothing to train or to validate on", "--validation-share",
                            fmt::format("{} of {} examples", share, examples.size()), "between 0 and 1", ""});
  }
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  base::Random random(base::mix64(seed ^ 0x76616C6964617465ull));  // "validate": not the stream that orders the rows
  base::shuffle(order, random);
  std::vector<std::uint8_t> chosen(examples.size(), 0);
  for (std::size_t i = 0; i < count; ++i) chosen[order[i]] = 1;
  std::vector<Example> training, validation;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    (chosen[i] ? validation : training).push_back(std::move(examples[i]));
  }
  examples = std::move(training);
  return validation;
}

std::uint64_t fingerprint(const std::vector<Example>& examples) {
  std::uint64_t hash = base::mix64(examples.size());
  for (const Example& example : examples) {
    hash = base::mix64(hash ^ example.ids.size());
    if (example.second > 0) hash = base::mix64(hash ^ example.second);
    for (std::size_t i = 0; i < example.ids.size(); ++i) {
      hash = base::mix64(hash ^ (static_cast<std::uint64_t>(example.ids[i]) << 1 | example.trained[i]));
    }
  }
  return hash;
}

}  // namespace finetune
