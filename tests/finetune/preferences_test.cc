// Training on pairs: losses as TRL has them, what a pair is, the reference, resume.
#include "finetune/train/preferences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "finetune/data/packing.h"
#include "finetune/data/pairs.h"
#include "finetune/train/optimizer.h"
#include "finetune/train/preference_objective.h"
#include "tests/finetune/train_fixture.h"
#include "tests/finetune/with_references.h"

namespace {

using finetune::Example;
using finetune::PreferenceOptions;
using testing::HasSubstr;

std::filesystem::path golden_file(const std::string& name) {
  return tiny_llama::folder("").parent_path().parent_path() / name;
}

at::Tensor doubles(const nlohmann::json& list) { return at::tensor(list.get<std::vector<double>>()); }

PreferenceOptions options_of(const nlohmann::json& found) {
  PreferenceOptions options;
  options.objective = found.at("objective").get<std::string>();
  options.beta = found.at("beta").get<double>();
  options.label_smoothing = found.value("label_smoothing", 0.0);
  options.simpo_gamma = found.value("simpo_gamma", 0.0);
  options.desirable_weight = found.value("desirable_weight", 1.0);
  options.undesirable_weight = found.value("undesirable_weight", 1.0);
  return options;
}

at::Tensor losses_of(const PreferenceOptions& options, const nlohmann::json& found, const at::Tensor& logs) {
  const at::Tensor targets = doubles(found.at("targets"));
  if (options.objective == "orpo") return finetune::odds_ratio_losses(options.beta, logs / targets);
  if (options.objective == "simpo") return finetune::pair_losses(options, logs, targets);
  const at::Tensor ratios = logs - doubles(found.at("reference"));
  if (options.objective != "kto") return finetune::pair_losses(options, ratios, targets);
  const auto verdicts = found.at("desirable").get<std::vector<bool>>();
  const at::Tensor desirable = at::tensor(std::vector<double>(verdicts.begin(), verdicts.end())).to(at::kBool);
  return finetune::kto_losses(options, ratios, desirable, found.at("kl").get<double>());
}

TEST(Preferences, LossesAndGradientsAreThoseOfTrl) {
  const auto golden = nlohmann::json::parse(base::read_file(golden_file("preferences.json")));
  std::set<std::string> objectives;
  for (const auto& found : golden.at("cases")) {
    const PreferenceOptions options = options_of(found);
    objectives.insert(options.objective);
    const at::Tensor logs = doubles(found.at("logs")).requires_grad_();
    const at::Tensor loss = losses_of(options, found, logs).mean();
    loss.backward();
    EXPECT_NEAR(loss.item<double>(), found.at("loss").get<double>(), 1e-5) << found;
    EXPECT_LT((logs.grad() - doubles(found.at("gradient"))).abs().max().item<double>(), 1e-5) << found;
  }
  EXPECT_EQ(objectives, (std::set<std::string>{"dpo", "ipo", "hinge", "simpo", "orpo", "kto"}));
}

// Runs of TRL's trainers on a tiny Llama: scripts/oracle/preferences.py.
struct TrlRuns {
  base::SafetensorsReader file{golden_file("preferences.safetensors")};

  at::Tensor at(const std::string& name) const { return tiny_llama::to_tensor(file.at(name)); }
  double number(const std::string& name, double otherwise = 0) const {
    const auto found = file.metadata().find(name);
    return found == file.metadata().end() ? otherwise : std::stod(found->second);
  }
  PreferenceOptions options(const std::string& objective) const {
    PreferenceOptions options;
    options.objective = objective;
    options.beta = number(objective + "/beta");
    options.simpo_gamma = number(objective + "/simpo_gamma");
    options.desirable_weight = number(objective + "/desirable_weight", 1);
    options.undesirable_weight = number(objective + "/undesirable_weight", 1);
    return options;
  }
  // Pairs, or what KTO makes of each four of them.
  std::vector<Example> examples(bool is_kto) const {
    const auto pairs = nlohmann::json::parse(file.metadata().at("pairs"));
    const auto desirable = nlohmann::json::parse(file.metadata().at("desirable"));
    std::vector<Example> made, four;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const auto answer = [&](int which) {
        Example example{pairs[i][0].get<std::vector<std::int32_t>>(), {}};
        example.trained.resize(example.ids.size(), 0);
        for (const std::int32_t id : pairs[i][which]) {
          example.ids.push_back(id);
          example.trained.push_back(is_kto && !desirable[i].get<bool>() ? finetune::kUndesirable : 1);
        }
        return example;
      };
      if (!is_kto) made.push_back(finetune::joined(answer(1), answer(2)));
      if (is_kto) four.push_back(answer(1));
      if (four.size() < 4) continue;
      for (Example& example : finetune::with_mismatches(four, 64)) made.push_back(std::move(example));
      four.clear();
    }
    return made;
  }
};

class TrlRun : public testing::TestWithParam<std::string> {};

// `change` spoils one detail. Returns the largest difference from TRL's losses, rewards and final A and B.
double difference_from_trl(const std::string& objective, const std::function<void(PreferenceOptions&)>& change = {}) {
  const TrlRuns golden;
  PreferenceOptions options = golden.options(objective);
  if (change) change(options);
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  finetune::Examples examples = golden.examples(objective == "kto");
  tiny_llama::add_references(model, examples);
  model.attach({"all-linear"}, 4, 8, 0, false, 3);
  const auto values = [&](const std::string& group) {
    std::vector<at::Tensor> parts;
    for (const lora::AdapterModule& module : model.adapter().modules)
      for (const char* matrix : {"/a", "/b"}) parts.push_back(golden.at(group + module.name + matrix).flatten());
    return at::cat(parts);
  };
  finetune::AdamW optimizer(model.parameters(), {.weight_decay = 0});
  const at::Tensor none = at::zeros_like(optimizer.values());
  optimizer.restore(values("start/"), optimizer.state(), 0);
  const auto made = finetune::objective_of(options);
  double worst = 0;
  for (std::int64_t step = 0; step < 10; ++step) {
    const auto first = static_cast<std::uint32_t>(4 * step);
    const finetune::PackedRow row = finetune::make_row(examples, std::vector{first, first + 1, first + 2, first + 3});
    optimizer.zero_gradients();
    at::Tensor figures;
    const at::Tensor loss = made->loss(model, row, 0, made->totals(model, row, 0), &figures);
    loss.backward();
    const auto compare = [&](double ours, const std::string& name) {
      const double expected = golden.at(objective + "/" + name)[step].item<double>();
      EXPECT_EQ(std::isnan(ours), std::isnan(expected)) << objective << " " << name << " " << step;
      if (!std::isnan(expected)) worst = std::max(worst, std::abs(ours - expected) / std::max(1.0, std::abs(expected)));
    };
    compare(loss.item<double>(), "loss");
    compare(optimizer.clip(0).item<double>(), "grad_norm");
    for (std::size_t i = 0; i < made->figure_names().size(); ++i)
      compare(figures[static_cast<std::int64_t>(i)].item<double>(), made->figure_names()[i]);
    optimizer.step(golden.number("rate"));
  }
  return std::max(worst, tiny_llama::relative(optimizer.values(), values(objective + "/after/")));
}

// IPO's gradient is a hundred times as large: where an element should be zero, what rounding leaves of it is far above
// Adam's epsilon and moves a weight by the whole rate, in a direction that differs between processors.
double bound_for(const std::string& objective) { return objective == "ipo" ? 2e-3 : 2e-5; }

TEST_P(TrlRun, TenStepsAreThoseOfItsTrainer) { EXPECT_LT(difference_from_trl(GetParam()), bound_for(GetParam())); }

TEST_P(TrlRun, AnotherBetaShows) {
  EXPECT_GT(difference_from_trl(GetParam(), [](PreferenceOptions& options) { options.beta *= 1.02; }),
            5 * bound_for(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Objectives, TrlRun, testing::Values("dpo", "ipo", "hinge", "simpo", "orpo", "kto"),
                         [](const auto& info) { return info.param; });

// The loss of a step, its gradient and its figures do not depend on how it is cut into batches.
TEST_P(TrlRun, OneBatchIsFour) {
  const TrlRuns golden;
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  finetune::Examples examples = golden.examples(GetParam() == "kto");
  tiny_llama::add_references(model, examples);
  model.attach({"all-linear"}, 4, 8, 0, false, 3);
  finetune::AdamW optimizer(model.parameters(), {.weight_decay = 0});
  const at::Tensor none = at::zeros_like(optimizer.values());
  optimizer.restore(at::full_like(none, 0.05), optimizer.state(), 0);
  const auto made = finetune::objective_of(golden.options(GetParam()));
  const auto results = [&](const std::vector<std::vector<std::uint32_t>>& batches) {
    std::vector<finetune::PackedRow> rows;
    at::Tensor totals = at::zeros({1}), all = at::zeros({1}), figures, share;
    for (const auto& batch : batches) rows.push_back(finetune::make_row(examples, batch));
    for (const auto& row : rows) totals = totals + made->totals(model, row, 0);
    optimizer.zero_gradients();
    for (const auto& row : rows) {
      const at::Tensor loss = made->loss(model, row, 0, totals, &share);
      loss.backward();
      all = all + loss.detach();
      figures = figures.defined() ? figures + share : share;
    }
    return at::cat({all, figures.to(at::kFloat), optimizer.gradient().clone()});
  };
  EXPECT_LT(tiny_llama::relative(results({{0}, {1}, {2, 3}, {4, 5, 6}}), results({{0, 1, 2, 3, 4, 5, 6}})), 2e-6);
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

// The same where the head has an adapter: its own gradient, and dropout's mask, are those of the loss.
TEST(Preferences, LogProbabilitiesHaveTheGradientOfTheLossOfATrainedHead) {
  const tiny_llama::Golden golden("untied");
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("untied"));
  model.attach({"q_proj", "lm_head"}, 4, 8, 0.3, false, 3);
  ASSERT_TRUE(model.trains_head());
  finetune::AdamW optimizer(model.parameters(), {.weight_decay = 0});
  const at::Tensor none = at::zeros_like(optimizer.values());
  optimizer.restore(at::sin(at::arange(none.numel())) * 0.05, optimizer.state(), 0);
  const finetune::PackedRow row = golden.row(0);
  const auto gradient = [&](const at::Tensor& loss) {
    optimizer.zero_gradients();
    loss.backward();
    return optimizer.gradient().clone();
  };
  const at::Tensor each = model.token_log_probabilities(row, 7);
  EXPECT_NEAR(-each.sum().item<double>(), model.loss_sum(row, 7).item<double>(), 1e-3);
  EXPECT_LT(tiny_llama::relative(gradient(-each.sum()), gradient(model.loss_sum(row, 7))), 1e-5);
  EXPECT_GT(
      tiny_llama::relative(gradient(-model.token_log_probabilities(row, 8).sum()), gradient(model.loss_sum(row, 7))),
      1e-2);
}

// The routers' own loss is added once for a step, whatever the objective and however the step is cut.
TEST(Preferences, ExpertsAreEvenedOut) {
  const finetune::Transformer model = tiny_llama::load(tiny_llama::folder("mixtral_router_loss"));
  const auto row = [](const std::vector<std::int64_t>& ids) {
    finetune::PackedRow row;
    row.ids = at::tensor(ids);
    row.lengths = {static_cast<std::int64_t>(ids.size()) / 2, static_cast<std::int64_t>(ids.size()) / 2};
    row.targets = at::full({row.ids.numel()}, -100, at::kLong);
    for (const std::int64_t place : {1L, row.lengths[0] + 1}) row.targets[place] = row.ids[place + 1];
    row.trained = 2;
    row.references = {-3, -4};
    row.desirable = {true};
    return row;
  };
  const finetune::PackedRow one = row({1, 2, 3, 1, 2, 4}), other = row({5, 6, 7, 8, 5, 6, 9, 3});
  for (const char* name : {"dpo", "simpo", "orpo", "kto"}) {
    PreferenceOptions options;
    options.objective = name;
    const auto objective = finetune::objective_of(options);
    const at::Tensor totals = objective->totals(model, one, 0) + objective->totals(model, other, 0);
    const auto added = [&](const finetune::PackedRow& batch) {
      const double trained{objective->loss(model, batch, 0, totals).item<double>()};
      const at::NoGradGuard no_gradient;
      return trained - objective->loss(model, batch, 0, totals).item<double>();
    };
    at::Tensor expected;
    finetune::PackedRow seen = one;
    if (options.is_of_verdicts())
      seen.ids = one.ids.narrow(0, 0, 3), seen.targets = one.targets.narrow(0, 0, 3), seen.lengths = {3};
    (void)model.log_probabilities(seen, 0, &expected);
    EXPECT_NEAR(added(one), expected.item<double>() / 2, 1e-5) << name << ": half of the step's pairs";
    EXPECT_GT(added(one), 0.1) << name << ": 0.3 times something near 1";
    EXPECT_GT(added(other), 0.1) << name;
  }
}

TEST(Preferences, ATextPairWithoutAPromptHasWhatBothBeginWith) {
  nlohmann::ordered_json record = {{"chosen", "The sky is blue."}, {"rejected", "The sky is green."}};
  finetune::state_prompt(record);
  EXPECT_EQ(record["prompt"], "The sky is");
  EXPECT_EQ(record["chosen"], " blue.");
  EXPECT_EQ(record["rejected"], " green.");
  // One goes on where the other ends: TRL's extract_prompt leaves a character of it.
  record = {{"chosen", "Assistant: good"}, {"rejected", "Assistant: good one"}};
  finetune::state_prompt(record);
  EXPECT_EQ(record["prompt"], "Assistant: goo");
  EXPECT_EQ(record["chosen"], "d");
  EXPECT_EQ(record["rejected"], "d one");
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

// Every objective learns, tells its figures under TRL's names, and resumes to the same bytes.
TEST_F(PreferenceRun, EveryObjectiveLearnsAndResumes) {
  for (const std::string objective : {"simpo", "orpo", "kto"}) {
    TrainOptions whole = pairs("whole-" + objective, objective), half = pairs("half-" + objective, objective);
    for (TrainOptions* run : {&whole, &half}) {
      run->optimizer.schedule = "constant";
      run->optimizer.warmup_ratio = 0;
      run->lora.dropout = 0.1;
      run->plan.steps = 8;
    }
    run(whole);
    half.plan.steps = 3;
    run(half);
    half.plan.steps = 8;
    half.output.resume = true;
    run(half);
    EXPECT_EQ(adapter_bytes(whole), adapter_bytes(half)) << objective;
    const auto lines = metrics(whole);
    EXPECT_GT(lines.back().at("validation_rewards/margins").get<double>(),
              lines.front().at("validation_rewards/margins").get<double>())
        << objective;
    EXPECT_LT(lines.back().at("validation_loss").get<double>(), lines.front().at("validation_loss").get<double>());
    EXPECT_FALSE(lines.back().contains("validation_perplexity"));
    std::set<std::string> told;  // a step of good answers alone says nothing of bad ones
    for (const auto& line : lines)
      for (const auto& [name, value] : line.items()) told.insert(name);
    for (const char* name : {"rewards/chosen", "rewards/rejected", "logps/chosen", "validation_rewards/margins"})
      EXPECT_TRUE(told.contains(name)) << objective << " " << name;
    EXPECT_EQ(fs::exists(fs::path(whole.output.folder) / finetune::kReferencesFile), objective == "kto");
  }
}

TEST_F(PreferenceRun, KtoLearnsFromVerdicts) {
  std::string records;
  for (int i = 0; i < 16; ++i)
    records += R"({"prompt":"say )" + std::to_string(i) + R"(: ","completion":")" + (i % 2 ? "good" : "bad") +
               R"(","label":)" + (i % 2 ? "true" : "false") + "}\n";
  TrainOptions verdicts = pairs("verdicts", "kto");
  base::write_file(model_.path() / "pairs.jsonl", records);
  verdicts.plan.steps = 12;
  EXPECT_THAT(run(verdicts), HasSubstr("good answers"));
  const auto lines = metrics(verdicts);
  EXPECT_NEAR(lines[0].at("validation_loss").get<double>(), 0.5, 1e-6);
  EXPECT_LT(lines.back().at("validation_loss").get<double>(), 0.47);
  EXPECT_TRUE(lines[1].contains("kl"));
  // An adapter goes on against itself, not against the base.
  TrainOptions more = verdicts;
  more.start.adapter = (fs::path(verdicts.output.folder) / "adapter").string();
  more.output.folder += "-more";
  run(more);
  EXPECT_NEAR(metrics(more)[0].at("validation_loss").get<double>(), 0.5, 1e-6);
  verdicts.output.folder += "-one";
  base::write_file(model_.path() / "pairs.jsonl", R"({"prompt":"a","completion":"b","label":true})"
                                                  "\n"
                                                  R"({"prompt":"c","completion":"d","label":true})"
                                                  "\n");
  verdicts.sources.validation_share = 0;
  EXPECT_THAT(run(verdicts), HasSubstr("the same verdict"));
  verdicts.output.folder += "-alone";
  verdicts.sources.validation_data = verdicts.sources.data;
  verdicts.reading.validation_limit = 1;
  EXPECT_THAT(error_of<base::Error>(verdicts), HasSubstr("--validation-data: one answer alone"));
}

// A head that trains: LoRA on a tied embedding, whole modules, and every weight.
TEST_F(PreferenceRun, TheHeadTrainsToo) {
  for (const std::string kind : {"lora", "saved", "full"}) {
    TrainOptions head = pairs("head-" + kind);
    if (kind == "lora") head.lora.targets = {"q_proj", "embed_tokens"};
    if (kind == "saved") head.lora.modules_to_save = {"lm_head"};
    if (kind == "full") head.start.method = "full";
    head.optimizer.learning_rate = kind == "full" ? 1e-3 : 5e-3;
    head.plan.steps = 8;
    run(head);
    const auto lines = metrics(head);
    EXPECT_NEAR(lines[1].at("loss").get<double>(), std::log(2), 1e-6) << kind;
    EXPECT_LT(lines.back().at("validation_loss").get<double>(), 0.69) << kind;
  }
}

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

// With --adapter the model is held to what it is with that adapter, or to the base without it.
TEST_F(PreferenceRun, TheReferenceIsTheStartOrTheBase) {
  TrainOptions first = pairs("first"), fresh = pairs("fresh"), start = pairs("start"), base = pairs("base");
  first.plan.steps = 8;
  first.optimizer.learning_rate = 0.05;
  run(first);
  run(fresh);
  for (TrainOptions* run : {&start, &base}) {
    run->start.adapter = first.output.folder;
    run->optimizer.schedule = "constant";
    run->optimizer.warmup_ratio = 0;
  }
  base.preferences.reference = "base";
  run(start);
  run(base);
  const auto references = [](const TrainOptions& options) {
    return nlohmann::json::parse(base::read_file(fs::path(options.output.folder) / finetune::kReferencesFile));
  };
  EXPECT_EQ(references(base), references(fresh)) << "the base, whatever adapter the run goes on from";
  EXPECT_NE(references(start).at("log_probabilities"), references(base).at("log_probabilities"));
  // A model that is its reference has no margin yet; this one has that of the first run.
  const auto before = [](const TrainOptions& options, const char* name) {
    return metrics(options)[0].at(name).get<double>();
  };
  EXPECT_NEAR(before(start, "validation_loss"), std::log(2), 1e-6);
  EXPECT_NEAR(before(start, "validation_rewards/margins"), 0, 1e-6);
  EXPECT_NEAR(before(base, "validation_loss"), metrics(first).back().at("validation_loss").get<double>(), 1e-6);
  EXPECT_GT(before(base, "validation_rewards/margins"), 1e-3);

  TrainOptions half = base, other = base;
  half.output.folder = (model_.path() / "half-base").string();
  half.plan.steps = 3;
  run(half);
  half.plan.steps = base.plan.steps;
  half.output.resume = true;
  run(half);
  EXPECT_EQ(adapter_bytes(half), adapter_bytes(base));
  other.output.resume = true;
  other.preferences.reference = "start";
  EXPECT_THAT(error_of<base::UsageError>(other), HasSubstr("--reference"));
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
  const auto words_error = [&](std::vector<std::string> words) -> std::string {
    words.insert(words.end(), {"--model", start.start.model, "--data", start.sources.data[0], "--output",
                               (model_.path() / "words").string()});
    try {
      run_words(words);
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
  EXPECT_THAT(words_error({"--reference", "base"}), HasSubstr("--objective dpo, ipo, hinge, kto"));
  EXPECT_THAT(words_error({"--objective", "dpo", "--reference", "base"}), HasSubstr("--adapter with it"));
  EXPECT_THAT(words_error({"--beta", "0.3"}), HasSubstr("--objective dpo"));
  EXPECT_THAT(words_error({"--objective", "dpo", "--simpo-gamma", "1"}), HasSubstr("--objective simpo"));
  EXPECT_THAT(words_error({"--objective", "ipo", "--label-smoothing", "0.1"}), HasSubstr("dpo, simpo"));
  EXPECT_THAT(words_error({"--objective", "orpo", "--desirable-weight", "2"}), HasSubstr("--objective kto"));
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
