// Validation that stops a run, and the checkpoint that it calls the best.
#include "finetune/train/early_stopping.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/error_of.h"
#include "tests/finetune/train_fixture.h"

namespace {

using finetune::Best;
using finetune::best_of;
using testing::HasSubstr;

std::vector<finetune::EvaluationMetrics> losses(const std::vector<double>& values) {
  std::vector<finetune::EvaluationMetrics> all;
  for (std::size_t i = 0; i < values.size(); ++i) all.push_back({static_cast<std::int64_t>(10 * i), values[i], 0, 1});
  return all;
}

void expect_best(const std::vector<double>& values, double threshold, std::int64_t step, std::int64_t waited) {
  const std::optional<Best> best = best_of(losses(values), threshold);
  ASSERT_TRUE(best);
  EXPECT_EQ(best->step, step);
  EXPECT_EQ(best->waited, waited);
}

TEST(BestOf, CountsValidationsWithoutABetterOne) {
  EXPECT_FALSE(best_of({}, 0));
  EXPECT_FALSE(best_of(losses({3}), 0)) << "before the first step";
  expect_best({1, 3}, 0, 10, 0);
  expect_best({9, 3, 2, 2.5, 2}, 0, 20, 2);
  expect_best({9, 3, 2, 2.5, 1.9}, 0, 40, 0);
  expect_best({9, 3, NAN, 2, NAN}, 0, 30, 1);
  expect_best({9, NAN, NAN}, 0, 10, 2);
}

// Small gains in a row are no progress, but the lowest loss is the best one all the same.
TEST(BestOf, TheThresholdIsAgainstTheLastThatWasBetter) {
  expect_best({9, 3, 2.9, 2.8, 2.7}, 0.25, 40, 0);
  expect_best({9, 3, 2.9, 2.8}, 0.25, 30, 2);
  expect_best({9, 3, 2.75}, 0.25, 20, 1);
}

// Data that validation cannot agree with: it gets worse from step to step.
class EarlyStopping : public Train {
 protected:
  TrainOptions overfits(const std::string& output) const {
    base::write_file(model_.path() / "other.jsonl", "{\"prompt\":\"say 1: \",\"completion\":\"ZQXJ ZQXJ ZQXJ\"}\n");
    TrainOptions options = this->options(output);
    options.plan.steps = 30;
    options.optimizer.learning_rate = 2e-2;
    options.sources.validation_data = {(model_.path() / "other.jsonl").string()};
    options.intervals.eval_every = 2;
    options.intervals.save_every = 0;
    options.intervals.keep_checkpoints = 1;
    options.stopping.early_stopping_patience = 3;
    return options;
  }
  static std::set<std::string> checkpoints(const TrainOptions& options) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(fs::path(options.output.folder) / "checkpoints"))
      names.insert(entry.path().filename());
    return names;
  }
};

TEST_F(EarlyStopping, StopsKeepsTheBestAndTakesIt) {
  const TrainOptions options = overfits("stops");
  std::string json;
  EXPECT_THAT(run(options, &json),
              testing::AllOf(HasSubstr("stopped early after"), HasSubstr("the result is that of step")));
  const auto result = nlohmann::json::parse(json);
  const auto last = result["steps"].get<std::int64_t>(), best = result["best_step"].get<std::int64_t>();
  EXPECT_LT(last, 30);
  EXPECT_EQ(last, best + 6) << "three validations behind the best";
  EXPECT_EQ(result["result_step"], best);
  EXPECT_TRUE(result["stopped_early"]);
  const std::string of_best = "step-" + std::to_string(best), of_last = "step-" + std::to_string(last);
  EXPECT_EQ(checkpoints(options), (std::set<std::string>{of_best, of_last}));
  const fs::path output = options.output.folder;
  const auto weights = [](const fs::path& folder) { return base::read_file(folder / "adapter_model.safetensors"); };
  EXPECT_EQ(weights(output / "adapter"), weights(output / "checkpoints" / of_best));
  EXPECT_NE(weights(output / "adapter"), weights(output / "checkpoints" / of_last));
  double lowest{INFINITY};
  std::int64_t at{0};
  for (const auto& line : metrics(options))
    if (const double loss = line.value("validation_loss", INFINITY); line["step"] > 0 && loss < lowest)
      lowest = loss, at = line["step"];
  EXPECT_EQ(at, best);

  TrainOptions to_last = overfits("to-last");
  to_last.stopping.result = "last";
  run(to_last, &json);
  EXPECT_EQ(nlohmann::json::parse(json)["result_step"], last);
  EXPECT_EQ(weights(fs::path(to_last.output.folder) / "adapter"), weights(output / "checkpoints" / of_last));
}

TEST_F(EarlyStopping, AResumedRunCountsOn) {
  const TrainOptions unbroken = overfits("unbroken");
  std::string json;
  run(unbroken, &json);
  const auto expected = nlohmann::json::parse(json);
  TrainOptions half = overfits("half");
  half.plan.steps = expected["best_step"].get<std::int64_t>() + 4;  // two of the three
  half.optimizer.schedule = "constant";
  TrainOptions whole = half;
  whole.output.folder = (model_.path() / "whole").string();
  whole.plan.steps = 30;
  run(whole, &json);
  const auto constant = nlohmann::json::parse(json);
  half.plan.steps = constant["best_step"].get<std::int64_t>() + 4;
  run(half);
  half.plan.steps = 30;
  half.output.resume = true;
  run(half, &json);
  auto resumed = nlohmann::json::parse(json);
  for (const char* key : {"steps", "best_step", "best_validation_loss", "result_step"})
    EXPECT_EQ(resumed[key], constant[key]) << key;
  EXPECT_EQ(adapter_bytes(half), adapter_bytes(whole));
  run(half, &json);  // it has stopped: nothing more to do
  EXPECT_EQ(nlohmann::json::parse(json)["steps"], constant["steps"]);
  half.stopping.early_stopping_patience = 4;  // and this is more patience
  run(half, &json);
  EXPECT_GE(nlohmann::json::parse(json)["steps"].get<std::int64_t>(), constant["steps"].get<std::int64_t>() + 2);
}

TEST(BestOf, WhatHasNoCheckpointIsNoResult) {
  const auto best = [](std::int64_t from) {
    return *best_of(losses({9, 2, 3, 5, 4}), 0, [from](std::int64_t step) { return step >= from; });
  };
  EXPECT_EQ(best(10).step, 10);
  EXPECT_EQ(best(20).step, 20);
  EXPECT_EQ(best(30).step, 40);
  EXPECT_EQ(best(50).step, 0) << "none";
  EXPECT_EQ(best(50).waited, 3) << "all count for patience";
}

// A run that did not keep its best, and now is asked for it.
TEST_F(EarlyStopping, ABestWithoutACheckpointIsSaidAndNotTheResult) {
  TrainOptions plain = overfits("plain");
  plain.optimizer.schedule = "constant";
  plain.stopping.early_stopping_patience = 0;
  plain.plan.steps = 12;
  plain.intervals.keep_checkpoints = 1;
  EXPECT_THAT(run(plain), testing::Not(HasSubstr("has no checkpoint")));
  plain.output.resume = true;
  plain.stopping.keep_best = true;
  std::string json;
  EXPECT_THAT(run(plain, &json), HasSubstr("has no checkpoint any more: the best is one of the steps that have one"));
  EXPECT_EQ(nlohmann::json::parse(json)["result_step"], 12);
  EXPECT_LT(nlohmann::json::parse(json)["lowest_step"], 12) << "the lowest of all is not the result";
  plain.plan.steps = 14;
  run(plain, &json);
  const auto step = nlohmann::json::parse(json)["result_step"].get<std::int64_t>();
  EXPECT_TRUE(step == 12 || step == 14) << step;
  EXPECT_TRUE(fs::exists(fs::path(plain.output.folder) / fmt::format("checkpoints/step-{}", step)));
}

// The first step has rate 0 (warm-up): where all later ones are worse, its model is the best, and the base's.
TEST_F(EarlyStopping, ABestThatLearnedNothingSaysSo) {
  TrainOptions worse = overfits("worse");
  worse.stopping.early_stopping_patience = 0;
  worse.stopping.keep_best = true;
  worse.optimizer.schedule = "constant";
  worse.optimizer.learning_rate = 0.05;
  const fs::path other = model_.path() / "other.jsonl";  // letters that training makes less likely
  base::write_file(other, R"({"prompt":"QXZ","completion":"ZQXZQXZQXZQXZQXZQXZQXZQXZQXZQX"})");
  worse.sources.validation_data = {other.string()};
  worse.optimizer.warmup_steps = 1;
  worse.intervals.eval_every = 1;
  worse.plan.steps = 2;
  std::string json;
  EXPECT_THAT(run(worse, &json, 1), testing::AllOf(HasSubstr("nothing was learned: the result is that of step 1"),
                                                   HasSubstr("no later one is lower")));
  EXPECT_EQ(nlohmann::json::parse(json)["changed"], false);
}

TEST_F(EarlyStopping, AResumedRunKeepsItsValidationData) {
  TrainOptions first = overfits("first");
  first.stopping.early_stopping_patience = 0;
  first.plan.steps = 2;
  first.sources.validation_data = first.sources.data;
  run(first);
  first.output.resume = true;
  first.plan.steps = 4;
  TrainOptions other = first;
  other.reading.validation_limit = 3;
  EXPECT_THAT(error_of<base::UsageError>(other), HasSubstr("--validation-limit"));
  other = first;
  other.sources.validation_data = {(model_.path() / "other.jsonl").string()};
  EXPECT_THAT(error_of<base::UsageError>(other),
              testing::AllOf(HasSubstr("--validation-data"), HasSubstr("other records")));
  run(first);
}

TEST_F(EarlyStopping, WithoutValidationItIsRefused) {
  const auto refusal = [&](auto change) {
    TrainOptions options = this->options("refused");
    change(options.stopping);
    return error_of<base::UsageError>(options);
  };
  EXPECT_THAT(refusal([](auto& o) { o.early_stopping_patience = 2; }), HasSubstr("--early-stopping-patience"));
  TrainOptions never = options("refused");
  never.sources.validation_share = 0.2, never.intervals.eval_every = 0, never.stopping.early_stopping_patience = 2;
  EXPECT_THAT(error_of<base::UsageError>(never), HasSubstr("--eval-every above 0"));
  EXPECT_THAT(refusal([](auto& o) { o.early_stopping_threshold = 0.1; }), HasSubstr("--early-stopping-threshold"));
  EXPECT_THAT(refusal([](auto& o) { o.keep_best = true; }), HasSubstr("--keep-best"));
  EXPECT_THAT(refusal([](auto& o) { o.result = "best"; }), HasSubstr("--result"));
  EXPECT_FALSE(fs::exists(model_.path() / "refused"));
}

}  // namespace
