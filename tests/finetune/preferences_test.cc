// Training on pairs: losses as TRL has them, what a pair is, the reference, resume.
#include "finetune/train/preferences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "finetune/data/packing.h"
#include "finetune/data/pairs.h"
#include "tests/finetune/train_fixture.h"

namespace {

using testing::HasSubstr;

TEST(Preferences, LossesAndGradientsAreThoseOfTrl) {
  const auto golden =
      nlohmann::json::parse(base::read_file(tiny_llama::folder("").parent_path().parent_path() / "preferences.json"));
  ASSERT_FALSE(golden.at("cases").empty());
  for (const auto& found : golden.at("cases")) {
    finetune::PreferenceOptions options;
    options.objective = found.at("objective").get<std::string>();
    options.beta = found.at("beta").get<double>();
    const at::Tensor ratios = at::tensor(found.at("ratios").get<std::vector<double>>()).requires_grad_();
    const at::Tensor targets = at::tensor(found.at("targets").get<std::vector<double>>());
    const at::Tensor loss = finetune::preference_losses(options, ratios, targets).mean();
    loss.backward();
    EXPECT_NEAR(loss.item<double>(), found.at("loss").get<double>(), 1e-5) << found;
    const at::Tensor expected = at::tensor(found.at("gradient").get<std::vector<double>>());
    EXPECT_LT((ratios.grad() - expected).abs().max().item<double>(), 1e-5) << found;
  }
}

TEST(Preferences, LogProbabilitiesHaveTheGradientOfTheLoss) {
  const tiny_llama::Golden golden("tied");
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  model.attach({"all-linear"}, 4, 8, 0.2, false, 3);
  const finetune::PackedRow row = golden.row(0);
  auto gradients = [&](const at::Tensor& loss) {
    loss.backward();
    std::vector<at::Tensor> found;
    for (const at::Tensor& parameter : model.parameters()) {
      found.push_back(parameter.grad().clone());
      parameter.mutable_grad().reset();
    }
    return at::cat([&] {
      std::vector<at::Tensor> flat;
      for (const at::Tensor& one : found) flat.push_back(one.flatten());
      return flat;
    }());
  };
  const at::Tensor loss = model.loss_sum(row, 7), logs = model.log_probabilities(row, 7);
  EXPECT_EQ(logs.size(0), static_cast<std::int64_t>(row.lengths.size()));
  EXPECT_NEAR(-logs.sum().item<double>(), loss.item<double>(), 1e-4 * loss.item<double>());
  EXPECT_LT(tiny_llama::relative(gradients(-logs.sum()), gradients(loss)), 1e-5);
}

TEST(Preferences, ATextPairWithoutAPromptHasWhatBothBeginWith) {
  nlohmann::ordered_json record = {{"chosen", "The sky is blue."}, {"rejected", "The sky is green."}};
  finetune::state_prompt(record);
  EXPECT_EQ(record["prompt"], "The sky is");
  EXPECT_EQ(record["chosen"], " blue.");
  EXPECT_EQ(record["rejected"], " green.");
}

class PreferenceRun : public Train {
 protected:
  TrainOptions pairs(const std::string& output, const std::string& objective = "dpo") const {
    std::string records;
    for (int i = 0; i < 12; ++i)
      records += R"({"prompt":"say )" + std::to_string(i) + R"(: ","chosen":"good)" + std::string(i, 'a') +
                 R"(","rejected":"bad"})" + "\n";
    base::write_file(model_.path() / "pairs.jsonl", records);
    TrainOptions made = options(output);
    made.sources.data = {(model_.path() / "pairs.jsonl").string()};
    made.sources.validation_share = 0.25;
    made.preferences.objective = objective;
    return made;
  }
};

TEST_F(PreferenceRun, StartsAtLogTwoAndLearns) {
  TrainOptions start = pairs("dpo");
  start.plan.steps = 10;
  run(start);
  const auto lines = metrics(start);
  EXPECT_NEAR(lines[0].at("validation_loss").get<double>(), std::log(2), 1e-6);
  EXPECT_NEAR(lines[1].at("loss").get<double>(), std::log(2), 1e-6);
  EXPECT_NEAR(lines[1].at("rewards/margins").get<double>(), 0, 1e-6);
  EXPECT_LT(lines.back().at("validation_loss").get<double>(), std::log(2));
  EXPECT_GT(lines.back().at("validation_rewards/margins").get<double>(), 0);
}

TEST_F(PreferenceRun, ResumesToTheSameBytesWithoutTheReferenceAgain) {
  TrainOptions whole = pairs("whole"), half = pairs("half");
  whole.optimizer.schedule = half.optimizer.schedule = "constant";
  whole.optimizer.warmup_ratio = half.optimizer.warmup_ratio = 0;
  run(whole);
  half.plan.steps = 3;
  run(half);
  half.plan.steps = 6;
  half.output.resume = true;
  run(half);
  EXPECT_EQ(adapter_bytes(whole), adapter_bytes(half));
  // What the file says is used, not computed again.
  const fs::path file = fs::path(half.output.folder) / finetune::kReferencesFile;
  auto json = nlohmann::json::parse(base::read_file(file));
  json["log_probabilities"][0] = -1.5;
  base::write_file(file, json.dump());
  half.plan.steps = 7;
  run(half);
  EXPECT_EQ(nlohmann::json::parse(base::read_file(file))["log_probabilities"][0], -1.5);
  json["key"] = "of another model";
  base::write_file(file, json.dump());
  half.plan.steps = 8;
  run(half);
  EXPECT_NE(nlohmann::json::parse(base::read_file(file))["log_probabilities"][0], -1.5);
}

TEST_F(PreferenceRun, RefusesAnotherObjectiveOnResumeAndAnswersWithoutPairs) {
  TrainOptions start = pairs("refused");
  run(start);
  start.output.resume = true;
  auto error_of = [](const TrainOptions& bad) -> std::string {
    try {
      run(bad);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "";
  };
  TrainOptions other = start;
  other.preferences.objective = "ipo";
  EXPECT_THAT(error_of(other), HasSubstr("--objective"));
  other = start;
  other.preferences.beta = 0.2;
  EXPECT_THAT(error_of(other), HasSubstr("--beta"));
  TrainOptions answers = options("no-pairs");
  answers.preferences.objective = "dpo";
  EXPECT_THAT(error_of(answers), HasSubstr("no pair of answers"));
  TrainOptions split = pairs("split");
  split.plan.rows.too_long = "split";
  EXPECT_THAT(error_of(split), HasSubstr("--too-long"));
  TrainOptions same = pairs("same");
  base::write_file(model_.path() / "same.jsonl", R"({"prompt":"a","chosen":"b","rejected":"b"})");
  same.sources.data = {(model_.path() / "same.jsonl").string()};
  EXPECT_THAT(error_of(same), HasSubstr("chosen and rejected are the same"));
  EXPECT_THAT(error_of([&] {
                TrainOptions plain = pairs("answers");
                plain.preferences.objective = "answers";
                return plain;
              }()),
              HasSubstr("--objective dpo"));
}

}  // namespace
