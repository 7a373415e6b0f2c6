// A bounded, ordered parallel pipeline: one source, many workers, one sink that sees results in source order. Tested by
// tests/base/pipeline_test.cc.
#include "base/pipeline.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/machine.h"

namespace base {

int thread_count(int requested) {
  if (requested < 0)
    throw UsageError({"not a number of threads", "--threads", std::to_string(requested), "0 (all) or more", ""});
  if (requested > 0) return requested;
  int count = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) count = CPU_COUNT(&allowed);
  double granted = control_group_cpus();
  if (granted > 0) count = std::min(count, static_cast<int>(std::ceil(granted)));
  return std::max(count, 1);
}

}  // namespace base
