// A bounded, ordered parallel pipeline: one source, many workers, one sink that sees results in source order.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace base {

/// Number of threads for `requested` (0 = all the machine's or container's).
int thread_count(int requested);

/// `source()` gives items until nothing; `work(item, worker)` runs on `threads` workers (worker = 0..threads-1);
/// `sink(result)` is called in source order, one at a time. `source` and `sink` never run concurrently with themselves.
/// At most 4 x threads items are in flight. The first exception stops everything and is rethrown here.
template <class Item, class Result>
void ordered_pipeline(int threads, const std::function<std::optional<Item>()>& source,
                      const std::function<Result(Item, int)>& work, const std::function<void(Result)>& sink) {
  std::mutex mutex, source_mutex;
  std::condition_variable room;
  std::map<std::size_t, Result> done;
  std::size_t next_in = 0, next_out = 0;
  bool finished = false, sinking = false;
  std::exception_ptr failure;
  const std::size_t limit = 4 * static_cast<std::size_t>(threads);

  auto fail = [&] {
    std::lock_guard lock(mutex);
    if (!failure) failure = std::current_exception();
    finished = true;
    room.notify_all();
  };
  auto loop = [&](int worker) {
    try {
      for (;;) {
        std::optional<Item> item;
        std::size_t number;
        {
          std::lock_guard source_lock(source_mutex);
          {
            std::unique_lock lock(mutex);
            room.wait(lock, [&] { return finished || next_in - next_out < limit; });
            if (finished) return;
            number = next_in;
          }
          item = source();
          std::lock_guard lock(mutex);
          if (!item) {
            finished = true;
            room.notify_all();
            return;
          }
          ++next_in;
        }
        Result result = work(std::move(*item), worker);
        std::unique_lock lock(mutex);
        done.emplace(number, std::move(result));
        if (sinking) continue;
        sinking = true;
        while (!done.empty() && done.begin()->first == next_out && !failure) {
          Result ready = std::move(done.begin()->second);
          done.erase(done.begin());
          lock.unlock();
          sink(std::move(ready));
          lock.lock();
          ++next_out;
          room.notify_all();
        }
        sinking = false;
      }
    } catch (...) {
      fail();
    }
  };
  if (threads <= 1) {
    loop(0);
  } else {
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) workers.emplace_back(loop, i);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace base
