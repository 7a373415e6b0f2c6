// A bounded, ordered parallel pipeline: one source, many workers, one sink that sees results in source order.
#pragma once

#include <algorithm>
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

/// One run of ordered_pipeline, which says what it does.
template <class Item, class Result>
class OrderedPipeline {
 public:
  using Source = std::function<std::optional<Item>()>;
  using Work = std::function<Result(Item, int)>;
  using Sink = std::function<void(Result)>;

  OrderedPipeline(const Source& source, const Work& work, const Sink& sink, std::size_t in_flight)
      : source_(source), work_(work), sink_(sink), limit_(in_flight) {}

  void run(int threads) {
    {
      std::vector<std::jthread> helpers;  // the calling thread is worker 0
      try {
        for (int i = 1; i < threads; ++i) helpers.emplace_back([this, i] { loop_or_fail(i); });
      } catch (const std::system_error&) {
        // The machine gives no more threads: go on with those there are.
      }
      loop_or_fail(0);
    }
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Outcome {
    std::optional<Result> result;
    std::exception_ptr failure;  // set when there is no result
  };

  // The next item and its number; nothing when there is no more to do. A source that throws takes a number too.
  std::optional<Item> take(std::size_t& number, Outcome& outcome) {
    std::lock_guard source_lock(source_mutex_);
    {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [&] { return finished_ || next_in_ - next_out_ < limit_; });
      if (finished_) return std::nullopt;
      number = next_in_;
    }
    std::optional<Item> item;
    try {
      item = source_();
    } catch (...) {
      outcome.failure = std::current_exception();
    }
    std::lock_guard lock(mutex_);
    finished_ = finished_ || !item;
    if (item || outcome.failure) ++next_in_;
    return item;
  }

  // Adds an outcome and, unless another worker is at it, passes on all that are next in order.
  void give(std::size_t number, Outcome outcome) {
    std::unique_lock lock(mutex_);
    if (outcome.failure) finished_ = true;
    done_.emplace(number, std::move(outcome));
    if (sinking_) return;
    sinking_ = true;
    while (!failure_ && !done_.empty() && done_.begin()->first == next_out_) {
      Outcome ready = std::move(done_.begin()->second);
      done_.erase(done_.begin());
      lock.unlock();
      if (ready.result) {
        try {
          sink_(std::move(*ready.result));
        } catch (...) {
          ready.failure = std::current_exception();
        }
      }
      lock.lock();
      ++next_out_;
      if (ready.failure) {
        failure_ = ready.failure;
        finished_ = true;
      }
      room_.notify_all();
    }
    sinking_ = false;
  }

  // What fails outside of source, work and sink is memory. Nobody waits for the outcome that is lost then.
  void loop_or_fail(int worker) {
    try {
      loop(worker);
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      finished_ = true;
      room_.notify_all();
    }
  }

  void loop(int worker) {
    for (;;) {
      std::size_t number = 0;
      Outcome outcome;
      std::optional<Item> item = take(number, outcome);
      if (!item && !outcome.failure) return;
      if (item) {
        try {
          outcome.result.emplace(work_(std::move(*item), worker));
        } catch (...) {
          outcome.failure = std::current_exception();
        }
        item.reset();
      }
      give(number, std::move(outcome));
    }
  }

  const Source& source_;
  const Work& work_;
  const Sink& sink_;
  const std::size_t limit_;
  std::mutex source_mutex_;  // taken before `mutex_`, never after it
  std::mutex mutex_;         // guards everything below
  std::condition_variable room_;
  std::map<std::size_t, Outcome> done_;  // finished, not yet in the sink
  std::size_t next_in_ = 0, next_out_ = 0;
  bool finished_ = false;  // nothing more is taken from the source
  bool sinking_ = false;   // one worker is emptying `done_`; the others only add to it
  std::exception_ptr failure_;
};

/// `source()` gives items until nothing; `work(item, worker)` runs on `threads` workers (worker = 0..threads-1);
/// `sink(result)` is called in source order, one at a time. `source` and `sink` never run concurrently with themselves.
/// At most `in_flight` items are (0: 4 x threads; never less than threads). An exception behaves as in a serial loop
/// whatever the thread count: the results of all earlier items reach the sink, no later one does, and it is rethrown
/// here. No item is taken from the source once a failure is known.
template <class Item, class Result>
void ordered_pipeline(int threads, const std::function<std::optional<Item>()>& source,
                      const std::function<Result(Item, int)>& work, const std::function<void(Result)>& sink,
                      std::size_t in_flight = 0) {
  const auto least = static_cast<std::size_t>(std::max(1, threads));
  OrderedPipeline<Item, Result>(source, work, sink, in_flight == 0 ? 4 * least : std::max(in_flight, least))
      .run(threads);
}

}  // namespace base
