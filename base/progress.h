// One progress line: on a terminal redrawn in place, elsewhere one plain line every 30 seconds.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace base {

class Progress {
 public:
  /// Draws on `err` unless `quiet`. `title` begins the line ("curate: reading").
  Progress(std::ostream& err, bool quiet, std::string title);
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `share` in 0..1 (negative: unknown, no ETA); `note` ends the line ("12.3 MB/s, 4,512 kept"). Cheap to call often:
  /// draws at most ten times a second. Any one thread at a time.
  void update(double share, const std::string& note);
  /// Is the line redrawn in place (a terminal, and not quiet)?
  bool redraws() const { return terminal_ && !quiet_; }
  /// Characters that a line drawn in place may have now: as wide as the terminal, which people make larger and smaller.
  std::size_t columns() const;
  /// Draws `line` in place, at most ten times a second; nothing where lines are not redrawn.
  void draw(const std::string& line);
  /// Clears the line (terminal) so that other output can follow.
  void finish();

 private:
  bool due(std::chrono::milliseconds distance);  // not too soon after the last line
  void put(const std::string& line);
  std::ostream& err_;
  bool quiet_, terminal_, drawn_ = false;
  std::string title_;
  std::chrono::steady_clock::time_point start_, last_;
};

/// The text of a line: "TITLE  42%  NOTE  3.2 s left". `seconds` since the start; no ETA below a share of 0.1 %.
std::string progress_line(const std::string& title, double share, const std::string& note, double seconds);

}  // namespace base
