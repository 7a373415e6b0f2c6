// A bounded, ordered parallel pipeline: one source, many workers, one sink that sees results in source order.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace base {

/// Number of threads for `requested` (0 = all that the machine, the affinity mask and the container's quota allow).
/// Throws UsageError for a negative number.
int thread_count(int requested);

/// `source()` gives items until nothing; `work(item, worker)` runs on `threads` workers (worker = 0..threads-1);
/// `sink(result)` is called in source order, one at a time. `source` and `sink` never run concurrently with themselves.
/// At most `in_flight` items are (0: 4 x threads; never less than threads). An exception behaves as in a serial loop
/// whatever the thread count: the results of all earlier items reach the sink, no later one does, and it is rethrown
/// here. No item is taken from the source once a failure is known.
template <class Item, class Result>
void ordered_pipeline(int threads, const std::function<std::optional<Item>()>& source,
                      const std::function<Result(Item, int)>& work, const std::function<void(Result)>& sink,
                      std::size_t in_flight = 0) {
  struct Outcome {
    std::optional<Result> result;
    std::exception_ptr failure;  // set when there is no result
  };
  const std::size_t least = static_cast<std::size_t>(threads < 1 ? 1 : threads);
  const std::size_t limit = in_flight == 0 ? 4 * least : in_flight < least ? least : in_flight;
  std::mutex source_mutex;  // taken before `mutex`, never after it
  std::mutex mutex;         // guards everything below
  std::condition_variable room;
  std::map<std::size_t, Outcome> done;  // finished, not yet in the sink
  std::size_t next_in = 0, next_out = 0;
  bool finished = false;  // nothing more is taken from the source
  bool sinking = false;   // one worker is emptying `done`; the others only add to it
  std::exception_ptr failure;

  // The next item and its number; nothing when there is no more to do. A source that throws takes a number too.
  auto take = [&](std::size_t& number, Outcome& outcome) -> std::optional<Item> {
    std::lock_guard source_lock(source_mutex);
    {
      std::unique_lock lock(mutex);
      room.wait(lock, [&] { return finished || next_in - next_out < limit; });
      if (finished) return std::nullopt;
      number = next_in;
    }
    std::optional<Item> item;
    try {
      item = source();
    } catch (...) {
      outcome.failure = std::current_exception();
    }
    std::lock_guard lock(mutex);
    finished = finished || !item;
    if (item || outcome.failure) ++next_in;
    return item;
  };
  // Adds an outcome and, unless another worker is at it, passes on all that are next in order.
  auto give = [&](std::size_t number, Outcome outcome) {
    std::unique_lock lock(mutex);
    if (outcome.failure) finished = true;
    done.emplace(number, std::move(outcome));
    if (sinking) return;
    sinking = true;
    while (!failure && !done.empty() && done.begin()->first == next_out) {
      Outcome ready = std::move(done.begin()->second);
      done.erase(done.begin());
      lock.unlock();
      if (ready.result) {
        try {
          sink(std::move(*ready.result));
        } catch (...) {
          ready.failure = std::current_exception();
        }
      }
      lock.lock();
      ++next_out;
      if (ready.failure) {
        failure = ready.failure;
        finished = true;
      }
      room.notify_all();
    }
    sinking = false;
  };
  auto loop = [&](int worker) {
    for (;;) {
      std::size_t number = 0;
      Outcome outcome;
      std::optional<Item> item = take(number, outcome);
      if (!item && !outcome.failure) return;
      if (item) {
        try {
          outcome.result.emplace(work(std::move(*item), worker));
        } catch (...) {
          outcome.failure = std::current_exception();
        }
        item.reset();
      }
      give(number, std::move(outcome));
    }
  };
  {
    std::vector<std::jthread> helpers;  // the calling thread is worker 0
    try {
      for (int i = 1; i < threads; ++i) helpers.emplace_back(loop, i);
    } catch (const std::system_error&) {
      // The machine gives no more threads: go on with those there are.
    }
    loop(0);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace base
