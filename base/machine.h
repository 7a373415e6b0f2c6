// What the machine, or the container, gives this process.
#pragma once

#include <cstdint>
#include <filesystem>

namespace base {

/// CPUs that the control groups of this process grant; 0 for no limit.
double control_group_cpus();

/// Bytes of memory that this process may use: the machine's, or less where a control group or `ulimit -v` grants less.
std::uint64_t machine_memory();

/// Bytes of memory that this process uses now (resident).
std::uint64_t resident_memory();

/// How often this process's threads were taken off a processor while they had work, since it began: seldom where each
/// has one of its own.
std::uint64_t preemptions();

/// The most memory that it has used at once since it began.
std::uint64_t peak_memory();

/// Where programs keep what they can make again: $XDG_CACHE_HOME where that is absolute, as its specification has it,
/// else ~/.cache; "" where neither is set.
std::filesystem::path cache_home();

/// Gives memory that was freed back to the system, so that resident_memory() is what is in use.
void release_memory();

}  // namespace base
