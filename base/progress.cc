// One progress line: on a terminal redrawn in place, elsewhere one plain line every 30 seconds. Tested by
// tests/base/text_test.cc.
#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>

#include "base/terminal.h"
#include "base/text.h"

namespace base {
namespace {

constexpr std::chrono::milliseconds kRedraw{100};

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string progress_line(const std::string& title, double share, const std::string& note, double seconds) {
  std::string line = title;
  if (share >= 0) line += fmt::format("  {:.0f}%", 100 * std::min(share, 1.0));
  if (!note.empty()) line += "  " + note;
  if (share >= 0.001 && share < 1) line += "  " + human_seconds(seconds * (1 - share) / share) + " left";
  return line;
}

Progress::Progress(std::ostream& err, bool quiet, std::string title)
    : err_(err),
      quiet_(quiet),
      terminal_(is_terminal(err) && has_cursor()),
      title_(std::move(title)),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

bool Progress::due(std::chrono::milliseconds distance) {
  const auto now = std::chrono::steady_clock::now();
  if (quiet_ || now - last_ < distance) return false;
  last_ = now;
  return true;
}

void Progress::update(double share, const std::string& note) {
  if (!due(terminal_ ? kRedraw : std::chrono::seconds(30))) return;
  const double seconds = std::chrono::duration<double>(last_ - start_).count();
  const std::string line = progress_line(title_, share, note, seconds);
  if (terminal_) {
    put(line);
  } else {
    err_ << line << std::endl;
  }
}

void Progress::draw(const std::string& line) {
  if (terminal_ && due(kRedraw)) put(line);
}

std::size_t Progress::columns() const { return terminal_columns() - 1; }

void Progress::put(const std::string& line) {
  // One column stays free: a full line would make some terminals wrap.
  err_ << "\r\x1b[K" << line.substr(0, columns()) << std::flush;
  drawn_ = true;
}

void Progress::finish() {
  if (drawn_) err_ << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

}  // namespace base
