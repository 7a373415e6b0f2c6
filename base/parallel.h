// A loop over numbers, shared out among threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace base {

/// Runs f(i, worker) for i in 0..n-1 on some threads, in any order (worker = 0..threads-1); rethrows the first
/// exception, after which no further i begins. Where the machine gives fewer threads, those that there are do it.
inline void parallel_for(std::size_t n, int threads, const std::function<void(std::size_t, int)>& f) {
  if (threads <= 1 || n <= 1) {
    for (std::size_t i = 0; i < n; ++i) f(i, 0);
    return;
  }
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  {
    const auto work = [&](int worker) {
      try {
        for (std::size_t i; (i = next++) < n;) f(i, worker);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = n;
      }
    };
    std::vector<std::jthread> helpers;  // the calling thread is worker 0
    try {
      for (int worker = 1; worker < threads; ++worker) helpers.emplace_back([&work, worker] { work(worker); });
    } catch (const std::system_error&) {
    }
    work(0);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace base
