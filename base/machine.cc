// What the machine, or the container, gives this process. Tested by tests/base/machine_test.cc.
#include "base/machine.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

namespace base {
namespace {

namespace fs = std::filesystem;

// Calls f(folder, unified) for the control groups of this process that have `controller`: both versions of the
// interface, each group and those above it, which bound it too.
void for_each_control_group(const std::string& controller, const std::function<void(const fs::path&, bool)>& f) {
  std::ifstream groups("/proc/self/cgroup");  // lines "ID:CONTROLLERS:PATH"
  for (std::string line; std::getline(groups, line);) {
    std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    bool unified = controllers.empty();
    if (!unified && controllers.find(controller) == controllers.npos) continue;
    fs::path root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
    fs::path below = fs::path(line.substr(second + 1)).relative_path();
    for (;; below = below.parent_path()) {
      f(root / below, unified);
      if (below.empty()) break;
    }
  }
}

// Of this process, in bytes.
struct OwnMemory {
  std::uint64_t mapped = 0, resident = 0;
};

OwnMemory own_memory() {
  OwnMemory own;
  std::ifstream("/proc/self/statm") >> own.mapped >> own.resident;  // in pages
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return {own.mapped * page, own.resident * page};
}

}  // namespace

// cpu.max holds "QUOTA PERIOD" (or "max PERIOD"); cpu.cfs_quota_us and cpu.cfs_period_us hold one number each.
double control_group_cpus() {
  double cpus = 0;
  for_each_control_group("cpu", [&](const fs::path& group, bool unified) {
    double quota = 0, period = 0;
    if (unified) {
      std::ifstream(group / "cpu.max") >> quota >> period;  // "max" leaves quota 0
    } else {
      std::ifstream(group / "cpu.cfs_quota_us") >> quota;
      std::ifstream(group / "cpu.cfs_period_us") >> period;
    }
    if (quota > 0 && period > 0 && (cpus == 0 || quota / period < cpus)) cpus = quota / period;
  });
  return cpus;
}

std::uint64_t machine_memory() {
  auto bytes =
      static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  for_each_control_group("memory", [&](const fs::path& group, bool unified) {
    std::uint64_t limit = 0;  // "max" leaves it 0; the older interface writes a huge number
    std::ifstream(group / (unified ? "memory.max" : "memory.limit_in_bytes")) >> limit;
    if (limit > 0) bytes = std::min(bytes, limit);
  });
  // `ulimit -v` counts what is mapped and not in memory too: libraries, files.
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    const OwnMemory own = own_memory();
    bytes = std::min(bytes, limit.rlim_cur - std::min(limit.rlim_cur, own.mapped - own.resident));
  }
  return bytes;
}

std::uint64_t resident_memory() { return own_memory().resident; }

std::uint64_t preemptions() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_nivcsw);
}

std::uint64_t peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

void release_memory() { ::malloc_trim(0); }

std::filesystem::path cache_home() {
  const auto variable = [](const char* name) -> std::filesystem::path {
    const char* const value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (std::filesystem::path cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache;
  const std::filesystem::path home = variable("HOME");
  return home.empty() ? home : home / ".cache";
}

}  // namespace base
