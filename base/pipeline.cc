#include "base/pipeline.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"

namespace base {
namespace {

// CPUs that the control groups of this process grant, or 0 for "no limit". Both versions of the interface: cpu.max
// holds "QUOTA PERIOD" (or "max PERIOD"); cpu.cfs_quota_us and cpu.cfs_period_us hold one number each. A group is
// bounded by every group above it.
double control_group_cpus() {
  namespace fs = std::filesystem;
  double cpus = 0;
  auto bound_by = [&cpus](double quota, double period) {
    if (quota > 0 && period > 0 && (cpus == 0 || quota / period < cpus)) cpus = quota / period;
  };
  std::ifstream groups("/proc/self/cgroup");  // lines "ID:CONTROLLERS:PATH"
  for (std::string line; std::getline(groups, line);) {
    std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    bool unified = controllers.empty();
    if (!unified && controllers.find("cpu") == controllers.npos) continue;
    fs::path root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
    fs::path below = fs::path(line.substr(second + 1)).relative_path();
    for (;; below = below.parent_path()) {
      double quota = 0, period = 0;
      if (unified) {
        std::ifstream(root / below / "cpu.max") >> quota >> period;  // "max" leaves quota 0
      } else {
        std::ifstream(root / below / "cpu.cfs_quota_us") >> quota;
        std::ifstream(root / below / "cpu.cfs_period_us") >> period;
      }
      bound_by(quota, period);
      if (below.empty()) break;
    }
  }
  return cpus;
}

}  // namespace

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
