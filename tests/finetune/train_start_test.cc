// How runs of `finetune train` begin, go on and end: what is refused leaves no trace, what changed nothing says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/run_lock.h"
#include "finetune/kernels/device.h"
#include "finetune/train/start_notes.h"
#include "lora/adapter/write_model.h"
#include "tests/finetune/train_fixture.h"

namespace {

using testing::HasSubstr;
using testing::Not;

// All files under `folder` with their bytes.
std::map<std::string, std::string> files_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().string()] = base::read_file(entry.path());
  return files;
}

// Every way to fail before the first step.
std::vector<std::pair<std::string, TrainOptions>> failing_starts(const TrainOptions& good, const fs::path& folder) {
  std::vector<std::pair<std::string, TrainOptions>> starts;
  auto add = [&](const char* name, auto change) {
    starts.emplace_back(name, good);
    change(starts.back().second);
  };
  base::write_file(folder / "chat.jsonl",
                   R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})");
  base::write_file(
      folder / "prompts.jsonl",
      R"({"prompt":"a very long prompt, longer than all that fits into a row of forty tokens","completion":"b"})");
  base::write_file(folder / "empty.jsonl", "");
  base::write_file(folder / "one.jsonl", R"({"text":"only one example"})");
  add("no such data", [&](TrainOptions& o) { o.sources.data = {(folder / "typo.jsonl").string()}; });
  add("no such validation data",
      [&](TrainOptions& o) { o.sources.validation_data = {(folder / "typo.jsonl").string()}; });
  add("bad target", [&](TrainOptions& o) { o.lora.targets = {"q_prj"}; });
  add("no chat template", [&](TrainOptions& o) { o.sources.data = {(folder / "chat.jsonl").string()}; });
  add("nothing is trained", [&](TrainOptions& o) {
    o.sources.data = {(folder / "prompts.jsonl").string()};
    o.plan.rows.max_length = 40;
  });
  add("empty data", [&](TrainOptions& o) { o.sources.data = {(folder / "empty.jsonl").string()}; });
  add("nothing left to train on", [&](TrainOptions& o) {
    o.sources.data = {(folder / "one.jsonl").string()};
    o.sources.validation_share = 0.5;
  });
  add("rows too long", [](TrainOptions& o) { o.plan.rows.max_length = 4096; });
  add("no such model", [&](TrainOptions& o) { o.start.model = (folder / "none").string(); });
  add("no such adapter", [&](TrainOptions& o) { o.start.adapter = (folder / "none").string(); });
  add("two kinds of validation", [](TrainOptions& o) {
    o.sources.validation_data = o.sources.data;
    o.sources.validation_share = 0.1;
  });
  if (!fs::exists("/dev/nvidiactl")) add("no CUDA", [](TrainOptions& o) { o.compute.device = "cuda"; });
  add("more than the disk holds", [](TrainOptions& o) { o.intervals.keep_checkpoints = std::int64_t{1} << 40; });
  return starts;
}

TEST_F(Train, AFailedStartLeavesNoFolder) {
  for (const auto& [name, start] : failing_starts(options("fails"), model_.path())) {
    EXPECT_THROW(run(start), base::Error) << name;
    EXPECT_FALSE(fs::exists(start.output.folder)) << name;
  }
  TrainOptions deep = options("a/b/c");
  deep.sources.data = {"typo.jsonl"};
  EXPECT_THROW(run(deep), base::Error);
  EXPECT_FALSE(fs::exists(model_.path() / "a"));
}

TEST_F(Train, SaysWhereBfloat16WouldBeFaster) {
  const auto says = [](const TrainOptions& start) {
    return run(start).find("--dtype bfloat16 is") != std::string::npos;
  };
  TrainOptions start = options("typed");
  start.compute.device = "cpu";
  EXPECT_EQ(says(start), finetune::multiplies_bfloat16());
  start.output.resume = true, start.plan.steps = 7;
  EXPECT_FALSE(says(start)) << "a run keeps its type";
  for (const char* chosen : {"float32", "bfloat16"}) {
    start = options(chosen), start.compute.device = "cpu", start.compute.dtype = chosen;
    EXPECT_FALSE(says(start));
  }
}

TEST_F(Train, SaysThatAWholeModelIsWrittenInTheTypeOfItsBase) {
  TrainOptions all = options("whole");
  all.start.method = "full", all.plan.steps = 1;
  EXPECT_THAT(run(all), Not(HasSubstr("the model is written in")));
  const fs::path half = model_.path() / "half";
  fs::create_directories(half);
  lora::ModelFiles files(model_.path().string());
  lora::write_hf_folder(lora::MergedModel(files, nullptr), half, {base::DType::kBF16, 1, {}});
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    fs::copy(model_.path() / name, half / name, fs::copy_options::overwrite_existing);
  all.start.model = half.string(), all.output.folder += "_half";
  EXPECT_THAT(run(all), HasSubstr("note: the model is written in BF16, as its base"));
}

TEST_F(Train, AFailedStartLeavesTheOldRunAsItWas) {
  TrainOptions old = options("old");
  run(old);
  const auto before = files_in(old.output.folder);
  old.output.overwrite = true;
  for (const auto& [name, start] : failing_starts(old, model_.path())) {
    EXPECT_THROW(run(start), base::Error) << name;
    EXPECT_EQ(files_in(old.output.folder), before) << name;
  }
  run(old);  // the corrected command
}

TEST_F(Train, WarmUpNeverTakesTheWholeRun) {
  TrainOptions one = options("one");
  one.plan.steps = 1;
  EXPECT_THAT(run(one), Not(HasSubstr("warm-up"))) << "nobody asked for one";
  EXPECT_GT(metrics(one)[0]["learning_rate"].get<double>(), 0);
  TrainOptions all = options("all");
  all.plan.steps = 4;
  all.optimizer.warmup_steps = 9;
  EXPECT_THAT(run(all), HasSubstr("warm-up: 3 of 4 steps, not 9"));
  EXPECT_EQ(metrics(all)[3]["learning_rate"].get<double>(), all.optimizer.learning_rate);
  TrainOptions usual = options("usual");
  usual.optimizer.warmup_steps = 3;
  EXPECT_THAT(run(usual), Not(HasSubstr("warm-up:")));
}

TEST_F(Train, AnUpdateThatBreaksTheModelIsNoResult) {
  TrainOptions broken = options("broken");
  broken.sources.validation_data = broken.sources.data;
  broken.optimizer.warmup_ratio = 0;
  broken.plan.steps = 1;
  broken.optimizer.learning_rate = 1e30;
  EXPECT_THAT(error_of<base::Error>(broken), HasSubstr("step 1: the validation loss is not finite"));
  EXPECT_FALSE(fs::exists(fs::path(broken.output.folder) / "adapter"));
  EXPECT_FALSE(fs::exists(fs::path(broken.output.folder) / "checkpoints/step-1"));
}

// JSON has no such number: null stands for it.
TEST_F(Train, MetricsOfNoFiniteNumberAreReadAgain) {
  TrainOptions half = options("half");
  half.sources.validation_data = half.sources.data;
  half.plan.steps = 2;
  run(half);
  const fs::path file = fs::path(half.output.folder) / "metrics.jsonl";
  std::string lines;
  for (nlohmann::json& line : metrics(half)) {
    if (line.contains("validation_loss")) line["validation_loss"] = line["validation_perplexity"] = nullptr;
    lines += line.dump() + "\n";
  }
  base::write_file(file, lines);
  half.output.resume = true;
  half.plan.steps = 4;
  EXPECT_THAT(run(half), HasSubstr("validation loss nan -> "));
}

TEST_F(Train, PreferencesAreOfAnswers) {
  TrainOptions all = options("all");
  all.reading.maker.train_on.train_on = "all";
  for (const char* objective : {"dpo", "orpo", "kto"}) {
    all.preferences.objective = objective;
    EXPECT_THAT(error_of<base::UsageError>(all), HasSubstr("--train-on")) << objective;
  }
}

// Half of a run of two steps would be lost in silence.
TEST_F(Train, AFirstStepOfRateZeroIsSaidWhereItCounts) {
  TrainOptions two = options("two");
  two.plan.steps = 2;
  EXPECT_THAT(run(two), HasSubstr("the first of 2 steps changes nothing (--warmup-ratio 0"));
  EXPECT_EQ(metrics(two)[0]["learning_rate"].get<double>(), 0);
  TrainOptions many = options("many");
  many.plan.steps = 11;
  EXPECT_THAT(run(many), Not(HasSubstr("changes nothing")));
  TrainOptions without = options("without");
  without.plan.steps = 2;
  without.optimizer.warmup_ratio = 0;
  EXPECT_THAT(run(without), Not(HasSubstr("changes nothing")));
  EXPECT_GT(metrics(without)[0]["learning_rate"].get<double>(), 0);
}

TEST_F(Train, ARunThatChangedNothingSaysSo) {
  TrainOptions slow = options("slow");
  slow.optimizer.learning_rate = 1e-60;
  std::string json;
  EXPECT_THAT(run(slow, &json, 1), HasSubstr("nothing was learned: the adapter is zero; the updates were too small"));
  EXPECT_EQ(nlohmann::json::parse(json)["changed"], false);

  TrainOptions good = options("good");
  run(good, &json);
  EXPECT_EQ(nlohmann::json::parse(json)["changed"], true);
  TrainOptions on = options("on");
  on.start.adapter = good.output.folder;
  on.optimizer.learning_rate = 1e-30;
  EXPECT_THAT(run(on, nullptr, 1), HasSubstr("nothing was learned: the adapter is what it was"));
}

TEST_F(Train, SaysHowManyExamplesAreHeldOut) {
  TrainOptions some = options("some");
  some.sources.validation_share = 0.1;
  EXPECT_THAT(run(some), HasSubstr("validation data: 6 of 60 examples held out, 54 left to train on"));
  TrainOptions least = options("least");
  least.sources.validation_share = 1e-6;
  EXPECT_THAT(run(least), HasSubstr("1 of 60 examples held out")) << "never none";
  TrainOptions most = options("most");
  most.sources.validation_share = 0.999;
  EXPECT_THAT(error_of<base::UsageError>(most),
              HasSubstr("60 records', expected above 0 and below 1, with a record left on either side"));
  TrainOptions limited = options("limited");
  limited.reading.validation_limit = 5;
  for (const double share : {0.0, 0.1}) {
    limited.sources.validation_share = share;
    EXPECT_THAT(error_of<base::UsageError>(limited), HasSubstr("--validation-limit"));
  }
}

TEST_F(Train, GoesOnFromAnAdapterWithOtherData) {
  TrainOptions first = options("first");
  first.lora.alpha = 12;
  first.lora.targets = {"v_proj", "q_proj"};
  first.lora.dropout = 0.05;
  first.lora.rslora = true;
  run(first);
  // Ranks and scales of single modules, as patterns hold them.
  lora::Adapter uneven = lora::read_adapter(fs::path(first.output.folder) / "adapter");
  uneven.modules[1].rank = 2;
  uneven.modules[1].a.resize(static_cast<std::size_t>(2 * uneven.modules[1].in));
  uneven.modules[1].b.resize(static_cast<std::size_t>(2 * uneven.modules[1].out));
  uneven.modules[0].scale = 0.5;
  const fs::path adapter = model_.path() / "uneven";
  lora::write_adapter(uneven, adapter);

  base::write_file(model_.path() / "other.jsonl", "{\"text\":\"something else, for once\"}\n");
  const std::vector<std::string> words = {(model_.path() / "other.jsonl").string(),
                                          "--adapter",
                                          adapter.string(),
                                          "--model",
                                          model_.path().string(),
                                          "--max-length",
                                          "64",
                                          "--steps",
                                          "3",
                                          "--device",
                                          "cpu",
                                          "--threads",
                                          "1"};
  auto with = [&](const std::string& output, std::vector<std::string> more) {
    more.insert(more.begin(), words.begin(), words.end());  // inputs before a list
    more.insert(more.end(), {"--output", (model_.path() / output).string()});
    return more;
  };
  run_words(with("second", {}));
  const lora::Adapter got = lora::read_adapter(model_.path() / "second/adapter");
  EXPECT_EQ(got.rank, 4);
  EXPECT_EQ(got.alpha, 12);
  EXPECT_EQ(got.dropout, 0.05);
  EXPECT_TRUE(got.rslora);
  EXPECT_EQ(got.targets, (std::vector<std::string>{"q_proj", "v_proj"}));
  ASSERT_EQ(got.modules.size(), uneven.modules.size());
  EXPECT_EQ(got.modules[1].rank, 2);
  EXPECT_EQ(got.modules[0].scale, 0.5);
  const double distance = tiny_llama::relative(finetune::flat_values(got), finetune::flat_values(uneven));
  EXPECT_GT(distance, 0);
  EXPECT_LT(distance, 0.5) << "from there, not from a fresh start";
  EXPECT_THAT(base::read_file(model_.path() / "second/run.yaml"), HasSubstr("rank: 4"));
  // Its own run.yaml repeats it, with all options given.
  run_words({"--config", (model_.path() / "second/run.yaml").string(), "--resume", "--steps", "5"});
  // Of a run that has ended the result is written again, with what stands there and nowhere else.
  run_words({"--config", (model_.path() / "second/run.yaml").string(), "--resume", "--base-name", "org/model"});
  EXPECT_EQ(lora::read_adapter(model_.path() / "second/adapter").base_model, "org/model");
  EXPECT_THAT(base::read_file(model_.path() / "second/run.yaml"), HasSubstr("base_name: \"org/model\""));

  // Dropout is of the training, not of the adapter.
  run_words(with("dropout", {"--lora.dropout", "0.2", "--lora.dropout-pattern", "q_proj=0.5"}));
  EXPECT_EQ(lora::read_adapter(model_.path() / "dropout/adapter").dropout, 0.2);
  EXPECT_THAT(base::read_file(model_.path() / "dropout/run.yaml"), HasSubstr("dropout: 0.2"));

  // The same value is no contradiction; another is, default or not.
  run_words(with("same", {"--lora.rank", "4", "--lora.targets", "v_proj", "--lora.targets", "q_proj"}));
  for (const std::vector<std::string>& other : std::vector<std::vector<std::string>>{
           {"--lora.rank", "16"}, {"--lora.alpha", "32"}, {"--lora.targets", "all-linear"}, {"--no-lora.rslora"}}) {
    try {
      run_words(with("refused", other));
      ADD_FAILURE() << other[0];
    } catch (const base::UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr(other[0].substr(0, 5) == "--no-" ? "lora.rslora" : other[0]));
    }
    EXPECT_FALSE(fs::exists(model_.path() / "refused"));
  }
}

TEST_F(Train, MoreStepsMakeARunLonger) {
  TrainOptions longer = options("longer");
  longer.intervals.save_every = 2;
  longer.optimizer.schedule = "linear";
  run(longer);
  longer.output.resume = true;
  longer.plan.steps = 11;
  EXPECT_THAT(run(longer),
              HasSubstr("the run has 11 steps now, not 6: from step 7 on the rate follows the new schedule"));
  EXPECT_EQ(metrics(longer).size(), 11u);
  EXPECT_NEAR(metrics(longer)[6]["learning_rate"].get<double>(), longer.optimizer.learning_rate * 5 / 10, 1e-9);
  EXPECT_THAT(run(longer), Not(HasSubstr("new schedule"))) << "it is 11 steps long now";

  // An interruption of the longer run changes nothing.
  TrainOptions again = options("again");
  again.intervals.save_every = 2;
  again.optimizer.schedule = "linear";
  run(again);
  again.output.resume = true;
  again.plan.steps = 11;
  run(again);
  fs::remove_all(fs::path(again.output.folder) / "checkpoints/step-11");
  EXPECT_THAT(run(again), HasSubstr("going on after step 10"));
  EXPECT_EQ(adapter_bytes(again), adapter_bytes(longer));

  longer.plan.steps = 9;
  EXPECT_THAT(error_of<base::UsageError>(longer), HasSubstr("--steps"));
  EXPECT_THAT(error_of<base::UsageError>(longer), HasSubstr("11 are done"));
}

TEST_F(Train, MoreEpochsTrainEveryRow) {
  TrainOptions epochs = options("epochs");
  epochs.plan.steps = 0;
  epochs.plan.accumulate = 4;  // the last step of an epoch takes what is left
  run(epochs);
  std::int64_t tokens = 0;
  for (const auto& line : metrics(epochs)) tokens += line["tokens"].get<std::int64_t>();
  epochs.output.resume = true;
  epochs.plan.epochs = 2;
  EXPECT_THAT(run(epochs), HasSubstr("new schedule"));
  std::int64_t both = 0;
  for (const auto& line : metrics(epochs)) both += line["tokens"].get<std::int64_t>();
  EXPECT_EQ(both, 2 * tokens);
  EXPECT_EQ(metrics(epochs).back()["epoch"], 2);
  epochs.plan.epochs = 0.5;
  EXPECT_THAT(error_of<base::UsageError>(epochs), HasSubstr("--epochs"));
}

TEST_F(Train, ResumeNamesTheOptionThatDiffers) {
  TrainOptions first = options("first");
  run(first);
  first.output.resume = true;
  auto differs = [&](auto change) {
    TrainOptions other = first;
    change(other);
    return error_of<base::UsageError>(other);
  };
  EXPECT_THAT(differs([](TrainOptions& o) { o.optimizer.learning_rate = 1e-3; }), HasSubstr("--learning-rate"));
  EXPECT_THAT(differs([](TrainOptions& o) { o.optimizer.warmup_steps = 2; }), HasSubstr("--warmup-steps"));
  EXPECT_THAT(differs([](TrainOptions& o) { o.reading.limit = 7; }), HasSubstr("--limit"));
  EXPECT_THAT(differs([](TrainOptions& o) { o.sources.validation_share = 0.2; }), HasSubstr("--validation-share"));
  EXPECT_THAT(differs([](TrainOptions& o) { o.plan.rows.max_length = 32; }), HasSubstr("--max-length"));
  // What it was by default is said.
  EXPECT_THAT(differs([](TrainOptions& o) { o.optimizer.update.optimizer = "lion"; }), HasSubstr("expected adamw,"));
  EXPECT_THAT(differs([](TrainOptions& o) { o.optimizer.update.beta1 = "0.8"; }), HasSubstr("expected auto,"));
  EXPECT_THAT(differs([](TrainOptions& o) { o.optimizer.min_learning_rate_ratio = 0.1; }), HasSubstr("expected 0,"));
  // The result carries the template, which these examples do not need.
  EXPECT_THAT(differs([](TrainOptions& o) { o.reading.chat.chat_template = "alpaca"; }), HasSubstr("--chat-template"));
  // Not one that changes no example.
  first.reading.limit = 1000;
  run(first);
}

// Checkpoints of before had "" for some defaults, and knew nothing of the data that validate.
TEST_F(Train, ResumesWhatAnEarlierVersionSaved) {
  TrainOptions first = options("first");
  first.sources.validation_share = 0.1;
  run(first);
  const fs::path file = fs::path(first.output.folder) / "checkpoints/step-6/state.json";
  nlohmann::json state = nlohmann::json::parse(base::read_file(file));
  for (const char* key : {"optimizer", "beta1", "decay_ratio", "quantization"}) state["facts"][key] = "";
  for (const char* key : {"validation_data", "validation_limit", "rows_at_once", "simpo_gamma"})
    state["facts"].erase(key);
  state.erase("checksum");
  base::write_file(file, state.dump());
  first.output.resume = true;
  first.plan.steps = 8;
  run(first);
}

// A changed bit in what decides the next step would go on as another run.
TEST_F(Train, ADamagedCheckpointIsNotResumed) {
  TrainOptions first = options("first");
  run(first);
  first.output.resume = true;
  first.plan.steps = 8;
  const fs::path folder = fs::path(first.output.folder) / "checkpoints/step-6";
  const std::string state = base::read_file(folder / "state.json");
  const nlohmann::json whole = nlohmann::json::parse(state);
  for (const char* key : {"step", "rows"})
    for (const nlohmann::json& wrong :
         {nlohmann::json(5), nlohmann::json(-1), nlohmann::json(6.5), nlohmann::json(1e300), nlohmann::json(INT64_MAX),
          nlohmann::json("6"), nlohmann::json(true)}) {
      nlohmann::json changed = whole;
      changed[key] = wrong;
      base::write_file(folder / "state.json", changed.dump());
      EXPECT_THAT(error_of<base::Error>(first), HasSubstr("delete the folder")) << key << " " << wrong;
    }
  base::write_file(folder / "state.json", state);
  for (const char* name : {"optimizer.safetensors", "adapter_model.safetensors"}) {
    const std::string bytes = base::read_file(folder / name);
    std::string changed = bytes;
    changed.back() ^= 1;
    base::write_file(folder / name, changed);
    EXPECT_THAT(error_of<base::Error>(first), HasSubstr("not those that the run wrote")) << name;
    base::write_file(folder / name, bytes);
  }
  run(first);
}

TEST_F(Train, ResumeWithNothingThereSaysSo) {
  TrainOptions none = options("none");
  none.output.resume = true;
  EXPECT_THAT(run(none), HasSubstr("none: starting from the beginning"));
  EXPECT_THAT(run(none), Not(HasSubstr("from the beginning")));
  TrainOptions foreign = options("foreign");
  fs::create_directories(foreign.output.folder);
  base::write_file(fs::path(foreign.output.folder) / "thesis.txt", "mine");
  foreign.output.resume = true;
  EXPECT_THAT(error_of<base::UsageError>(foreign), HasSubstr("nothing to resume"));
  EXPECT_EQ(files_in(foreign.output.folder).size(), 1u);
}

// A run that was killed before its first checkpoint begins anew, and says with what else.
TEST_F(Train, WhatChangedSinceARunThatSavedNothingIsSaid) {
  TrainOptions begun = options("begun");
  const fs::path run_yaml = fs::path(begun.output.folder) / "run.yaml";
  base::OptionSet declared(begun);
  std::ostringstream out, err;
  base::Context context{out, err, false, false, "", "finetune", &declared};
  finetune::tell_changed(run_yaml, context);
  fs::create_directories(begun.output.folder);
  base::write_file(run_yaml, declared.to_yaml());
  finetune::tell_changed(run_yaml, context);
  EXPECT_EQ(err.str(), "");
  begun.sources.data = {"/elsewhere.jsonl"}, begun.compute.threads = 2;
  finetune::tell_changed(run_yaml, context);
  EXPECT_THAT(err.str(), testing::AllOf(HasSubstr("with other options"), HasSubstr(R"(data: ["/elsewhere.jsonl"])"),
                                        Not(HasSubstr("threads"))));
}

TEST_F(Train, APatienceThatCannotStopTheRunIsSaid) {
  TrainOptions short_one = options("short");
  short_one.stopping.early_stopping_patience = 2, short_one.intervals.eval_every = 2;
  const auto told = [&](std::int64_t steps) {
    std::ostringstream out, err;
    base::Context context{out, err, false, false, "", "finetune"};
    finetune::tell_patience(steps, short_one, context);
    return err.str();
  };
  EXPECT_THAT(told(6), HasSubstr("2 validations before its last step"));
  EXPECT_EQ(told(7), "");
}

TEST(StartNotes, ProcessesWithLessToDoThanOthersAreSaid) {
  const auto told = [](std::int64_t rows_per_batch, std::int64_t accumulate, int processes) {
    finetune::PlanOptions plan;
    plan.rows_per_batch = rows_per_batch, plan.accumulate = accumulate;
    std::ostringstream out, err;
    base::Context context{out, err, false, false, "", "finetune"};
    finetune::tell_shares(plan, processes, context);
    return err.str();
  };
  EXPECT_THAT(told(1, 1, 2), testing::AllOf(HasSubstr("1 row for 2 processes: 1 of them has nothing to do"),
                                            HasSubstr("--accumulate 2 gives")));
  EXPECT_THAT(told(2, 1, 8), testing::AllOf(HasSubstr("2 rows for 8 processes: 6 of them have nothing to do"),
                                            HasSubstr("--accumulate 8 gives")));
  EXPECT_THAT(told(4, 3, 2),
              testing::AllOf(HasSubstr("3 batches for 2 processes: some wait"), HasSubstr("--accumulate 4 gives")));
  for (const auto& [rows, batches, processes] :
       std::vector<std::tuple<int, int, int>>{{1, 1, 1}, {4, 1, 2}, {3, 2, 2}, {1, 8, 4}})
    EXPECT_EQ(told(rows, batches, processes), "");
}

TEST(StartNotes, DevicesThatDoNothingAreSaid) {
  const auto told = [](int devices, int processes) {
    std::ostringstream out, err;
    base::Context context{out, err, false, false, "", "finetune"};
    finetune::tell_devices(devices, processes, context);
    return err.str();
  };
  EXPECT_THAT(told(8, 1), HasSubstr("one of 8 devices trains; torchrun --no-python --nproc-per-node 8"));
  EXPECT_EQ(told(1, 1), "");
  EXPECT_EQ(told(1, 8), "") << "each process sees its own";
  EXPECT_EQ(finetune::count_devices(at::kCPU), 1);
}

TEST_F(Train, ResumeNeedsNoRoomForWhatIsThere) {
  TrainOptions first = options("first");
  run(first);
  first.output.resume = true;
  first.intervals.keep_checkpoints = std::int64_t{1} << 40;  // more than any disk
  run(first);                                                // which has no step left
  first.plan.steps = 8;
  EXPECT_THAT(error_of<base::Error>(first), HasSubstr("not enough disk space"));
}

TEST_F(Train, OtherRowsAtOnceAreSaid) {
  TrainOptions first = options("first");
  first.plan.rows_per_batch = 2;
  run(first);
  const fs::path file = fs::path(first.output.folder) / "checkpoints/step-6/state.json";
  nlohmann::json state = nlohmann::json::parse(base::read_file(file));
  EXPECT_EQ(state["facts"]["rows_at_once"], "2");
  state["facts"]["rows_at_once"] = "1";
  state.erase("checksum");
  base::write_file(file, state.dump());
  first.output.resume = true;
  first.plan.steps = 7;
  EXPECT_THAT(run(first), HasSubstr("goes on with 2 rows at once, not 1"));
  first.plan.steps = 8;
  EXPECT_THAT(run(first), Not(HasSubstr("at once")));
}

// A kill between a checkpoint's rename and the removal of the oldest leaves one too many.
TEST_F(Train, AFinishedRunRemovesWhatAKillLeft) {
  TrainOptions first = options("first");
  first.intervals.save_every = 2;
  run(first);
  const fs::path checkpoints = fs::path(first.output.folder) / "checkpoints";
  fs::copy(checkpoints / "step-4", checkpoints / "step-2", fs::copy_options::recursive);
  first.output.resume = true;
  run(first);
  EXPECT_EQ(finetune::saved_steps(checkpoints), (std::vector<std::int64_t>{4, 6}));
}

TEST_F(Train, ADamagedCheckpointHasOneAdvice) {
  TrainOptions first = options("first");
  run(first);
  fs::resize_file(fs::path(first.output.folder) / "checkpoints/step-6/optimizer.safetensors", 100);
  first.output.resume = true;
  const std::string error = error_of<base::Error>(first);
  EXPECT_THAT(error, HasSubstr("the checkpoint cannot be read"));
  EXPECT_THAT(error, HasSubstr("delete the folder"));
  EXPECT_THAT(error, Not(HasSubstr("download")));
}

TEST_F(Train, TwoRunsDoNotShareAFolder) {
  TrainOptions first = options("first");
  run(first);
  const auto before = files_in(first.output.folder);
  first.output.overwrite = true;
  {
    base::RunLock other;
    other.take(first.output.folder);
    EXPECT_THAT(error_of<base::Error>(first), HasSubstr("another run writes there"));
    EXPECT_EQ(files_in(first.output.folder), before);
  }
  run(first);
}

TEST_F(Train, NumbersBeyondReasonAreRefused) {
  const auto error = [&](const std::vector<std::string>& words) {
    TrainOptions options;
    base::OptionSet set(options);
    try {
      set.read_words(words);
    } catch (const base::UsageError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(error({"--epochs", "1e18"}), HasSubstr("--epochs"));
  EXPECT_THAT(error({"--steps", "4611686018427387904"}), HasSubstr("--steps"));
  TrainOptions wide = options("wide");
  wide.plan.accumulate = std::int64_t{1} << 40;
  wide.plan.rows_per_batch = std::int64_t{1} << 40;
  EXPECT_THAT(error_of<base::UsageError>(wide), HasSubstr("too many rows in one step"));
}

TEST(StepLine, FitsATerminal) {
  finetune::StepMetrics metrics;
  for (double value : {1e-9, 0.5, 2.3456789, 123456.789, 1e12}) {
    metrics.step = 999999;
    metrics.loss = metrics.gradient_norm = metrics.tokens_per_second = value;
    metrics.learning_rate = 2e-4;
    const std::string line = finetune::step_line(metrics, 1000000, value * 100);
    EXPECT_LE(line.size(), 79u) << line;
    EXPECT_THAT(line, HasSubstr("step 999999/1000000  loss "));
  }
  const finetune::StepMetrics third{3, 0.1, 2.34567, 2e-4, 0.8765, 2048, 913, 431.2, 14.2};
  EXPECT_EQ(finetune::step_line(third, 1000, 3.7),
            "step 3/1000  loss 2.3457  rate 2.0e-04  norm 0.876  431 tokens/s  3.7 s left");
  EXPECT_EQ(finetune::step_line(third, 1000, 3725, 39), "step 3/1000  loss 2.3457");
  EXPECT_THAT(finetune::step_line(third, 1000, 3725, 45), testing::EndsWith("left"));
  EXPECT_THAT(finetune::step_line(third, 1000, 3725, 24), testing::StartsWith("step 3/1000  loss"));
  EXPECT_EQ(finetune::step_line(third, 1000, 3725),
            "step 3/1000  loss 2.3457  rate 2.0e-04  431 tokens/s  1 h 02 min left")
      << "the norm makes way where the line would be longer than a terminal's";
}

TEST(StepLine, HasAllFieldsWhereThereIsNoTerminal) {
  finetune::StepMetrics metrics{3, 0.1, 2.34567, 2e-4, 0.8765, 2048, 913, 431.2, 14.2};
  for (const double figure : {0.25, std::nan("")}) {
    metrics.figures = {{"rewards/accuracies", figure}, {"rewards/margins", figure}};
    const std::string shown = std::isnan(figure) ? "-" : "0.25";
    EXPECT_EQ(finetune::step_line(metrics, 1000, 3725, finetune::kAnyWidth),
              "step 3/1000  loss 2.3457  accuracy " + shown + "  margin " + shown +
                  "  rate 2.0e-04  norm 0.876  431 tokens/s  1 h 02 min left");
  }
}

TEST_F(Train, RowsAreNoLongerThanTheContextWhereNobodyGaveALength) {
  const auto words = [&](const char* output, const std::vector<std::string>& more) {
    std::vector<std::string> all = {(model_.path() / "data.jsonl").string(), "--model", model_.path().string()};
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), {"--steps", "1", "--device", "cpu", "--output", (model_.path() / output).string()});
    return all;
  };
  const std::int64_t context{lora::ModelFiles(model_.path().string()).config().context_length};
  ASSERT_LT(context, finetune::RowOptions{}.max_length);
  EXPECT_THAT(run_words(words("short", {})),
              HasSubstr("note: rows of up to " + std::to_string(context) + " tokens, which are the model's context"));
  EXPECT_THAT(base::read_file(model_.path() / "short/run.yaml"), HasSubstr("max_length: " + std::to_string(context)));
  try {
    run_words(words("given", {"--max-length", "1024"}));
    ADD_FAILURE() << "a length that was given";
  } catch (const base::UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--max-length " + std::to_string(context)));
  }
}

}  // namespace
