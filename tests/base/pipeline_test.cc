#include "base/pipeline.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "tests/sanitized.h"

namespace {

// A wait that differs from item to item but not from run to run.
void wait(std::uint64_t seed, int microseconds) {
  std::uint64_t time = base::mix64(seed) % static_cast<std::uint64_t>(microseconds + 1);
  if (time > 0) std::this_thread::sleep_for(std::chrono::microseconds(time));
}

struct Plan {
  int threads = 1;
  int items = 0;
  int source_throws = -1, work_throws = -1, sink_throws = -1;  // at this item; -1 = never
  int source_delay = 0, work_delay = 0, sink_delay = 0;        // at most, microseconds
};

struct Seen {
  std::vector<int> sunk;
  std::string error;
  int taken = 0;
  int most_in_flight = 0;
  bool overlapped = false;  // source or sink ran twice at once
};

Seen run(const Plan& plan) {
  Seen seen;
  std::atomic<bool> in_source = false, in_sink = false;
  std::atomic<int> in_flight = 0, most = 0, bad_worker = 0;
  int next = 0;
  auto source = [&]() -> std::optional<int> {
    if (in_source.exchange(true)) seen.overlapped = true;
    wait(next, plan.source_delay);
    if (next == plan.source_throws) {
      in_source = false;
      throw std::runtime_error("source");
    }
    std::optional<int> item;
    if (next < plan.items) {
      item = next++;
      ++seen.taken;
      int now = ++in_flight, before = most;
      while (now > before && !most.compare_exchange_weak(before, now)) {
      }
    }
    in_source = false;
    return item;
  };
  auto work = [&](int item, int worker) {
    if (worker < 0 || worker >= std::max(1, plan.threads)) ++bad_worker;
    wait(base::mix64(item), plan.work_delay);
    if (item == plan.work_throws) throw std::runtime_error("work");
    return std::make_unique<int>(item * 3);  // a result that can only be moved
  };
  auto sink = [&](std::unique_ptr<int> result) {
    if (in_sink.exchange(true)) seen.overlapped = true;
    wait(*result + 1, plan.sink_delay);
    if (*result == plan.sink_throws * 3 && plan.sink_throws >= 0) throw std::runtime_error("sink");
    seen.sunk.push_back(*result / 3);
    --in_flight;
    in_sink = false;
  };
  try {
    base::ordered_pipeline<int, std::unique_ptr<int>>(plan.threads, source, work, sink);
  } catch (const std::runtime_error& error) {
    seen.error = error.what();
  }
  seen.most_in_flight = most;
  EXPECT_EQ(bad_worker, 0);
  EXPECT_FALSE(seen.overlapped);
  EXPECT_LE(seen.most_in_flight, 4 * std::max(1, plan.threads));
  return seen;
}

std::vector<int> first(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) numbers[static_cast<std::size_t>(i)] = i;
  return numbers;
}

TEST(Pipeline, OrderIsThatOfTheSourceForAnyNumberOfThreads) {
  for (int threads : {-1, 0, 1, 2, 3, 5, 8}) {
    EXPECT_EQ(run({.threads = threads, .items = 0}).sunk, first(0));
    EXPECT_EQ(run({.threads = threads, .items = 1}).sunk, first(1));
    Seen seen = run({.threads = threads, .items = 3000});
    EXPECT_EQ(seen.sunk, first(3000));
    EXPECT_EQ(seen.error, "");
  }
}

TEST(Pipeline, OneSlowItemHoldsTheOthersBackButLosesNone) {
  std::vector<int> sunk;
  int next = 0;
  base::ordered_pipeline<int, int>(
      4, [&]() -> std::optional<int> { return next < 100 ? std::optional<int>(next++) : std::nullopt; },
      [](int item, int) {
        if (item == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
        return item;
      },
      [&](int result) { sunk.push_back(result); });
  EXPECT_EQ(sunk, first(100));
}

// The model is the serial loop: what it delivers before the first exception, every thread count delivers.
TEST(Pipeline, RandomDelaysAndExceptionsBehaveAsASerialLoop) {
  base::Random random(3);
  for (int round = 0; round < 150; ++round) {
    Plan plan;
    plan.threads = 1 + static_cast<int>(random.below(8));
    plan.items = static_cast<int>(random.below(120));
    auto maybe = [&] { return random.below(3) == 0 ? static_cast<int>(random.below(120)) : -1; };
    auto delay = [&] { return static_cast<int>(random.below(3) * random.below(150)); };
    plan.source_throws = maybe();
    plan.work_throws = maybe();
    plan.sink_throws = maybe();
    plan.source_delay = delay();
    plan.work_delay = delay();
    plan.sink_delay = delay();
    Seen parallel = run(plan);
    Plan serial_plan = plan;
    serial_plan.threads = 1;
    serial_plan.source_delay = serial_plan.work_delay = serial_plan.sink_delay = 0;
    Seen serial = run(serial_plan);
    ASSERT_EQ(parallel.sunk, serial.sunk) << "round " << round;
    ASSERT_EQ(parallel.error, serial.error) << "round " << round;
    ASSERT_LE(parallel.taken - static_cast<int>(parallel.sunk.size()), 4 * plan.threads) << "round " << round;
  }
}

TEST(Pipeline, InFlightIsABound) {
  for (int in_flight : {1, 2, 5}) {  // 1 is less than the threads: one item for each
    std::atomic<int> taken = 0, most = 0;
    int sunk = 0, next = 0;
    base::ordered_pipeline<int, int>(
        2,
        [&]() -> std::optional<int> {
          if (next == 200) return std::nullopt;
          most = std::max<int>(most, ++taken);
          return next++;
        },
        [](int item, int) {
          if (item % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
          return item;
        },
        [&](int) { --taken, ++sunk; }, static_cast<std::size_t>(in_flight));
    EXPECT_EQ(sunk, 200);
    EXPECT_LE(most, std::max(2, in_flight));
  }
}

TEST(Pipeline, AFailureStopsAnEndlessSource) {
  int next = 0;
  EXPECT_THROW((base::ordered_pipeline<int, int>(
                   3, [&]() -> std::optional<int> { return next++; },
                   [](int item, int) {
                     if (item == 1000) throw base::Error("stop");
                     return item;
                   },
                   [](int) {})),
               base::Error);
}

// As a machine without memory would: the exception reaches the caller, and nobody waits for ever.
TEST(Pipeline, NoMemoryInAWorkerIsAnException) {
  for (const int threads : {1, 4}) {
    EXPECT_THROW(base::parallel_for(100, threads,
                                    [](std::size_t i, int) {
                                      if (i == 50) throw std::bad_alloc();
                                    }),
                 std::bad_alloc);
    int next = 0;
    const std::function<std::optional<int>()> source = [&]() -> std::optional<int> { return next++; };
    const std::function<int(int, int)> work = [](int item, int) {
      if (item == 50) throw std::bad_alloc();
      return item;
    };
    EXPECT_THROW((base::ordered_pipeline<int, int>(threads, source, work, [](int) {})), std::bad_alloc);
  }
}

// A result that cannot be kept is lost outside of what the pipeline calls.
struct Unmovable {
  Unmovable() = default;
  Unmovable(Unmovable&& other) noexcept(false) { other.moves_ == 0 ? ++moves_ : throw std::bad_alloc(); }
  int moves_ = 0;
};

TEST(Pipeline, WhatFailsBetweenTheCallsIsAnExceptionToo) {
  for (const int threads : {1, 4}) {
    int next = 0;
    const std::function<std::optional<int>()> source = [&]() -> std::optional<int> { return next++; };
    const std::function<Unmovable(int, int)> work = [](int, int) { return Unmovable(); };
    EXPECT_THROW((base::ordered_pipeline<int, Unmovable>(threads, source, work, [](Unmovable) {})), std::bad_alloc);
  }
}

// With no room for the stack of another thread.
void work_without_threads() {
  rlimit none{};
  none.rlim_cur = none.rlim_max = 1 << 20;
  ::setrlimit(RLIMIT_AS, &none);
  std::atomic<int> done = 0;
  base::parallel_for(10, 4, [&](std::size_t, int) { ++done; });
  std::_Exit(done == 10 ? 0 : 2);
}

TEST(Pipeline, AMachineThatGivesNoThreadsDoesTheWork) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need room of their own";
  EXPECT_EXIT(work_without_threads(), testing::ExitedWithCode(0), "");
}

TEST(Pipeline, ThreadCount) {
  EXPECT_EQ(base::thread_count(5), 5);
  EXPECT_GE(base::thread_count(0), 1);
  EXPECT_THROW(base::thread_count(-1), base::UsageError);
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(base::thread_count(0), 1);
  sched_setaffinity(0, sizeof before, &before);
}

}  // namespace
