// The rate over a run, against transformers' get_scheduler (scripts/oracle/optimizer.py).
#include "finetune/train/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/error_of.h"
#include "tests/finetune/train_fixture.h"

namespace {

using finetune::Phases;
using finetune::ScheduleOptions;
using testing::HasSubstr;

TEST(Schedule, FactorsEqualTransformers) {
  const auto file = nlohmann::json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/optimizer.json"));
  std::map<std::string, int> kinds;
  for (const auto& golden : file["schedules"]) {
    ScheduleOptions options{.schedule = golden["kind"]};
    options.min_learning_rate_ratio = golden.value("least", 0.0);
    options.decay_shape = golden.value("shape", "cosine");
    const finetune::Schedule schedule(options, {golden["warmup"], golden.value("decay", 0), golden["total"]});
    for (std::size_t step = 0; step < golden["factors"].size(); ++step)
      EXPECT_NEAR(schedule.factor(static_cast<std::int64_t>(step)), golden["factors"][step].get<double>(), 1e-15)
          << golden.dump() << " step " << step;
    ++kinds[golden["kind"]];
  }
  EXPECT_EQ(kinds, (std::map<std::string, int>{{"constant", 5}, {"linear", 8}, {"cosine", 8}, {"wsd", 30}}));
}

TEST(Schedule, PhasesFollowTheOptions) {
  const auto phases = [](ScheduleOptions options, std::int64_t steps) {
    const Phases found = finetune::phases_of(options, steps);
    return std::pair(found.warmup, found.decay);
  };
  using Pair = std::pair<std::int64_t, std::int64_t>;
  ScheduleOptions wsd{.schedule = "wsd", .warmup_ratio = 0.1, .decay_ratio = 0.25};
  EXPECT_EQ(phases({.warmup_ratio = 0.1}, 40), Pair(4, 0));
  EXPECT_EQ(phases(wsd, 40), Pair(4, 10));
  EXPECT_EQ(phases(wsd, 1), Pair(0, 1));
  wsd.decay_ratio = 1;
  EXPECT_EQ(phases(wsd, 40), Pair(4, 36)) << "never into the warm-up";
  wsd.decay_steps = 36;
  EXPECT_EQ(phases(wsd, 40), Pair(4, 36));
  wsd.decay_steps = 37;
  EXPECT_THAT(::error_of([&] { phases(wsd, 40); }), testing::AllOf(HasSubstr("--decay-steps"), HasSubstr("36")));
}

TEST_F(Train, TheRateOfWsdStaysAndFalls) {
  TrainOptions wsd = options("wsd");
  wsd.plan.steps = 10;
  wsd.optimizer.schedule = "wsd";
  wsd.optimizer.warmup_steps = 2;
  wsd.optimizer.decay_steps = 4;
  wsd.optimizer.decay_shape = "linear";
  wsd.optimizer.min_learning_rate_ratio = 0.2;
  run(wsd);
  std::vector<double> rates;
  for (const auto& line : metrics(wsd)) rates.push_back(line["learning_rate"].get<double>() / 5e-3);
  EXPECT_THAT(rates, testing::Pointwise(testing::DoubleNear(1e-12), {0.2, 0.6, 1., 1., 1., 1., 1., 0.8, 0.6, 0.4}));
  wsd.output.resume = true;
  wsd.optimizer.decay_shape = "cosine";
  EXPECT_THAT(error_of<base::UsageError>(wsd), HasSubstr("--decay-shape"));
}

TEST_F(Train, WhatAScheduleDoesNotReadIsRefused) {
  const auto refusal = [&](std::vector<std::string> words) {
    words.insert(words.end(), {"--model", model_.path().string(), "--data", (model_.path() / "data.jsonl").string(),
                               "--output", (model_.path() / "refused").string(), "--steps", "4", "--max-length", "64"});
    return ::error_of([&] { run_words(words); });
  };
  EXPECT_THAT(refusal({"--decay-steps", "2"}), testing::AllOf(HasSubstr("--decay-steps"), HasSubstr("wsd")));
  EXPECT_THAT(refusal({"--decay-shape", "linear"}), HasSubstr("--decay-shape"));
  EXPECT_THAT(refusal({"--decay-ratio", "0.5", "--schedule", "linear"}), HasSubstr("--decay-ratio"));
  EXPECT_THAT(refusal({"--schedule", "constant", "--min-learning-rate-ratio", "0.1"}),
              HasSubstr("--min-learning-rate-ratio"));
  EXPECT_THAT(refusal({"--schedule", "wsd", "--decay-steps", "4", "--warmup-steps", "1"}), HasSubstr("at most 3 of 4"));
  EXPECT_FALSE(fs::exists(model_.path() / "refused"));
}

}  // namespace
