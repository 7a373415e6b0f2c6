// What the measuring programs measure with.
#pragma once

#include <ctime>

/// CLOCK_MONOTONIC: as on the wall; CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID: of the processor alone, so that
/// other programs on the machine do not count.
inline double seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}
