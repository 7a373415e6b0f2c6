// What the terminal, if there is one, is and wants. Tested by tests/base/terminal_test.cc.
#include "base/terminal.h"

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

namespace base {
namespace {

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

bool is_terminal(const std::ostream& stream) {
  if (&stream == &std::cout) return isatty(STDOUT_FILENO) == 1;
  return (&stream == &std::cerr || &stream == &std::clog) && isatty(STDERR_FILENO) == 1;
}

bool has_cursor() { return variable("TERM") != "dumb"; }

bool wants_colour() { return variable("NO_COLOR").empty() && has_cursor(); }

bool shows_colour(const std::ostream& stream) { return is_terminal(stream) && wants_colour(); }

}  // namespace base
