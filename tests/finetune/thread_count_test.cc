// How many threads a step takes beside other programs.
#include "finetune/train/thread_count.h"

#include <gtest/gtest.h>

namespace {

using finetune::ThreadCount;

constexpr double kQuiet = 2, kBusy = 200;

// Steps until another number of threads is tried; `rate` and `preemptions` of every step.
int steps_until_a_try(ThreadCount& count, double rate, double preemptions) {
  const int before{count.now()};
  int steps = 1;
  while (count.next(rate, preemptions) == before && steps < 1000) ++steps;
  return steps;
}

TEST(ThreadCount, AQuietMachineKeepsAll) {
  ThreadCount count(4);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(count.next(100, kQuiet), 4);
}

TEST(ThreadCount, OneThreadStaysOne) {
  ThreadCount count(1);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(count.next(100, kBusy), 1);
}

TEST(ThreadCount, BesideAnotherProgramFewerAreKeptWhereTheyAreFaster) {
  ThreadCount count(2);
  EXPECT_EQ(count.next(74, kBusy), 1);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(count.next(95, kQuiet), 1);
  EXPECT_EQ(count.next(95, kQuiet), 2);  // has the other one ended?
  EXPECT_EQ(count.next(74, kBusy), 1);   // it has not
  EXPECT_EQ(steps_until_a_try(count, 95, kQuiet), 16);
  EXPECT_EQ(count.next(170, kQuiet), 2);  // now it has
  for (int i = 0; i < 100; ++i) EXPECT_EQ(count.next(170, kQuiet), 2);
}

TEST(ThreadCount, FewerThatAreSlowerAreTriedSeldom) {
  ThreadCount count(8);
  EXPECT_EQ(count.next(100, kBusy), 7);
  EXPECT_EQ(count.next(90, kBusy), 8);
  EXPECT_EQ(steps_until_a_try(count, 100, kBusy), 16);
  EXPECT_EQ(count.next(90, kBusy), 8);
  EXPECT_EQ(steps_until_a_try(count, 100, kBusy), 32);
  EXPECT_EQ(count.next(90, kBusy), 8);
  EXPECT_EQ(steps_until_a_try(count, 100, kBusy), 32);
}

TEST(ThreadCount, GoesDownAndUpAsFarAsItHelps) {
  ThreadCount count(4);
  double rates[] = {0, 50, 60, 55, 40};
  for (int i = 0; i < 60; ++i) count.next(rates[count.now()], kBusy);
  EXPECT_LE(count.now(), 2);
  for (int i = 0; i < 200; ++i) count.next(100.0 * count.now(), kQuiet);
  EXPECT_EQ(count.now(), 4);
}

}  // namespace
