// Ctrl-C and `kill`: a long command ends what it is at, saves and leaves with kInterrupted. Tested by
// tests/cli/signals_finetune.py.
#include "base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace base {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

// What a handler may touch: lock-free, and set before the handler is.
std::atomic<int> received{0};
std::atomic<const std::string*> notice{nullptr};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<const std::string*>::is_always_lock_free);

void handle(int signal) {
  const int code = errno;
  int none = 0;
  if (!received.compare_exchange_strong(none, signal)) ::_exit(kInterrupted);
  if (const std::string* text = notice.load()) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text->data(), text->size());
  }
  errno = code;
}

}  // namespace

Interrupt::Interrupt(std::string text) : notice_(std::move(text)) {
  received = 0;
  notice = &notice_;
  struct sigaction action {};
  action.sa_handler = handle;  // without SA_RESTART: who waits for input is to wake up
  for (int i = 0; i < 3; ++i) {
    ::sigaction(kSignals[i], nullptr, &before_[i]);
    if (kSignals[i] == SIGHUP && before_[i].sa_handler == SIG_IGN) continue;
    ::sigaction(kSignals[i], &action, nullptr);
  }
}

Interrupt::~Interrupt() {
  for (int i = 0; i < 3; ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
  notice = nullptr;
}

int Interrupt::signal() const { return received; }

void Interrupt::reset() { received = 0; }

}  // namespace base
