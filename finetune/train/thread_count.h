// How many threads compute, where other programs want the processor too. Tested by tests/finetune/thread_count_test.cc.
#pragma once

namespace finetune {

/// The pieces of a step wait for each other, so that a thread that shares its processor holds up all: two threads
/// beside a program that computes without end are slower than one. Where the system often takes threads off their
/// processors one less is tried, and what is faster stays; later one more is tried again, as the other program may have
/// ended. For computations whose results do not depend on the number of threads.
class ThreadCount {
 public:
  explicit ThreadCount(int most) : most_(most), now_(most) {}

  int now() const { return now_; }
  /// After a step with now(): how much of anything it did in a second, and how often in a second the system took one of
  /// its threads off a processor. The number for the next step.
  int next(double rate, double preemptions);

 private:
  enum class Trying { kNothing, kFewer, kMore };

  int most_, now_;
  Trying trying_ = Trying::kNothing;
  double rate_before_ = 0;       // of the step before a try
  int rest_ = 0, patience_ = 8;  // steps until the next try: after one that failed twice as many as before
};

}  // namespace finetune
