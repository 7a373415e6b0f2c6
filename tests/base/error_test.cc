#include "base/error.h"

#include <gtest/gtest.h>

#include <string>

namespace {

using base::Error;

TEST(Error, ACauseWithinACauseKeepsItsAdvice) {
  const Error inner({"cannot open the file", "state.json", "", "", "is the disk full?"});
  const Error outer({std::string("the checkpoint cannot be read: ") + inner.what(), "run", "7", "8", "start again"});
  EXPECT_STREQ(outer.what(),
               "run: the checkpoint cannot be read: state.json: cannot open the file: got '7', expected 8\n"
               "  is the disk full?\n  start again");
  const Error third(std::string("no resume: ") + outer.what());
  EXPECT_EQ(third.what(), std::string("no resume: ") + outer.what());
}

}  // namespace
