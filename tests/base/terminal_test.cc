#include "base/terminal.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

namespace {

TEST(Terminal, ColoursCanBeRefused) {
  setenv("TERM", "xterm", 1);
  unsetenv("NO_COLOR");
  EXPECT_TRUE(base::wants_colour());
  setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(base::wants_colour());
  setenv("NO_COLOR", "0", 1);  // any value means no colour
  EXPECT_FALSE(base::wants_colour());
  unsetenv("NO_COLOR");
  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(base::wants_colour());
  EXPECT_FALSE(base::has_cursor());
  std::ostringstream text;
  EXPECT_FALSE(base::shows_colour(text));
}

}  // namespace
