// Steps that must not be taken.
#include "finetune/train/bad_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/finetune/train_fixture.h"

namespace {

using finetune::StepMetrics;
using finetune::wrong_with;
using testing::HasSubstr;

StepMetrics step(double loss, double norm) {
  StepMetrics metrics;
  metrics.loss = loss, metrics.gradient_norm = norm;
  return metrics;
}

TEST(WrongWith, NoNumberAndSpikes) {
  std::vector<StepMetrics> before(8, step(2, 0.5));
  before[3] = step(90, 0.5);  // the median does not mind
  EXPECT_EQ(wrong_with(step(3, 1), before, 10), "");
  EXPECT_THAT(wrong_with(step(NAN, 1), {}, 0), HasSubstr("the loss is not finite"));
  EXPECT_THAT(wrong_with(step(1, INFINITY), before, 0), HasSubstr("the norm of the gradient is not finite"));
  EXPECT_THAT(wrong_with(step(21, 1), before, 10), HasSubstr("the loss is 10.5 times its median"));
  EXPECT_THAT(wrong_with(step(2, 5.1), before, 10), HasSubstr("the norm of the gradient is 10.2 times"));
  EXPECT_EQ(wrong_with(step(21, 5.1), before, 0), "") << "off";
  const std::vector<finetune::StepMetrics> met(16, step(0, 0));  // hinge, all margins met
  EXPECT_EQ(wrong_with(step(0.1, 0.1), met, 10), "");
  EXPECT_EQ(wrong_with(step(21, 5.1), std::span(before).first(7), 10), "") << "too few to tell";
  std::vector<StepMetrics> higher(40, step(2, 0.5));
  std::fill(higher.begin() + 20, higher.end(), step(20, 5));
  EXPECT_EQ(wrong_with(step(60, 15), higher, 10), "") << "the last 32 count";
}

// A record of another kind among plain ones: the run stops before it learns from it, and says what it was.
TEST_F(Train, ASpikeStopsTheRunAndSavesItsRows) {
  std::string records;
  for (int i = 0; i < 40; ++i) records += "{\"prompt\":\"a\",\"completion\":\"aaaaaaaaaaaaaaaaaaaa\"}\n";
  records += "{\"prompt\":\"?\",\"completion\":\"\\u0001\\u0002ZQ\\u0007X!\\u0003~\"}\n";
  base::write_file(model_.path() / "spike.jsonl", records);
  TrainOptions spike = options("spike");
  spike.sources.data = {(model_.path() / "spike.jsonl").string()};
  spike.plan.rows.packing = false;
  spike.plan.steps = 120;
  spike.optimizer.learning_rate = 2e-2;
  spike.optimizer.schedule = "constant";
  spike.optimizer.spike_factor = 4;
  spike.intervals.save_every = 1;
  const std::string said = error_of<base::Error>(spike);
  EXPECT_THAT(said, testing::AllOf(HasSubstr("times its median"), HasSubstr("bad-step-")));
  const fs::path output = spike.output.folder;
  const std::int64_t last = metrics(spike).back()["step"];
  const fs::path file = output / ("bad-step-" + std::to_string(last + 1) + ".jsonl");
  ASSERT_TRUE(fs::exists(file)) << said;
  const auto line = nlohmann::json::parse(base::read_file(file));
  EXPECT_THAT(line["documents"][0]["text"].get<std::string>(), HasSubstr("ZQ\aX!"));
  EXPECT_EQ(line["documents"][0]["ids"].size(), line["documents"][0]["targets"].size());
  EXPECT_GT(line["loss"].get<double>(), 4 * metrics(spike).back()["loss"].get<double>());
  EXPECT_TRUE(fs::exists(output / "checkpoints" / ("step-" + std::to_string(last))));
  EXPECT_FALSE(fs::exists(output / "adapter"));
  // What it tells one to do works.
  const std::string learned = (output / "checkpoints" / ("step-" + std::to_string(last))).string();
  EXPECT_THAT(said, testing::AllOf(HasSubstr("--adapter " + learned + ")"), HasSubstr("--spike-factor 0 goes on")));
  TrainOptions lower = options("lower");
  lower.start.adapter = learned;
  lower.plan.steps = 1;
  run(lower);
  spike.output.overwrite = true;
  spike.optimizer.spike_factor = 0;
  run(spike);
  EXPECT_EQ(metrics(spike).size(), 120u);
}

TEST_F(Train, NumbersBeyondFloat32AreRefusedByName) {
  TrainOptions clip = options("clip"), rate = options("rate");
  clip.optimizer.clip = 1e39;
  EXPECT_THAT(error_of<base::UsageError>(clip), testing::AllOf(HasSubstr("--clip"), HasSubstr("float32")));
  rate.lora.loraplus_lr_ratio = 1e300;
  EXPECT_THAT(error_of<base::UsageError>(rate), HasSubstr("--lora.loraplus-lr-ratio"));
}

TEST_F(Train, ALossThatIsNoNumberSavesItsRows) {
  TrainOptions wild = options("wild");
  wild.optimizer.learning_rate = 1e30;
  wild.optimizer.warmup_ratio = 0;
  const std::string error = error_of<base::Error>(wild);
  EXPECT_THAT(error, HasSubstr("bad-step-2.jsonl, and there is no checkpoint yet;"));
  EXPECT_THAT(error, testing::Not(HasSubstr("float32"))) << "it is float32";
  EXPECT_THAT(error, testing::Not(HasSubstr("-nan")));
  EXPECT_THAT(base::read_file(fs::path(wild.output.folder) / "report.html"), HasSubstr("stopped at step 2: the loss"));
  const std::string lines = base::read_file(fs::path(wild.output.folder) / "bad-step-2.jsonl");
  const auto line = nlohmann::json::parse(base::split(lines, '\n')[0]);
  EXPECT_EQ(line["step"], 2);
  EXPECT_TRUE(line["loss"].is_null()) << lines;
  EXPECT_THAT(line["documents"][0]["text"].get<std::string>(), HasSubstr("say "));
}

TEST_F(Train, AFactorThatOrdinaryStepsExceedIsRefused) {
  TrainOptions low = options("low");
  low.optimizer.spike_factor = 1;
  EXPECT_THAT(error_of<base::UsageError>(low), HasSubstr("--spike-factor"));
}

}  // namespace
