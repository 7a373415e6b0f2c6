// Ctrl-C and `kill`: a long command ends what it is at, saves and leaves with kInterrupted.
#pragma once

#include <csignal>
#include <string>
#include <string_view>

namespace base {

/// The exit code of a command that was stopped by a signal.
constexpr int kInterrupted = 130;

/// While it lives, the first SIGINT, SIGTERM or SIGHUP is only noted; a second one ends the process at once, with
/// kInterrupted. One at a time. A program that was started with SIGHUP ignored (nohup) goes on ignoring it; SIGINT and
/// SIGTERM are meant even where a shell in the background ignores them.
class Interrupt {
 public:
  /// `notice` is written to standard error when the first signal comes, so that a person sees that it was heard.
  explicit Interrupt(std::string notice = "");
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  bool requested() const { return signal() != 0; }
  /// The signal that came first, or 0.
  int signal() const;
  /// Forgets it: the next one is the first again.
  void reset();

 private:
  std::string notice_;
  struct sigaction before_[3];
};

}  // namespace base
