// Whole runs of `finetune train` on a tiny random Llama: packing, accumulation, resume, refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "finetune/model/load.h"
#include "tests/error_of.h"
#include "tests/finetune/train_fixture.h"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(Train, LearnsAndWritesEverything) {
  TrainOptions learn = options("learn");
  learn.plan.steps = 30;
  learn.plan.accumulate = 2;
  learn.sources.validation_share = 0.1;
  learn.intervals.eval_every = 10;
  std::string json;
  EXPECT_THAT(run(learn, &json), HasSubstr("lora merge"));
  const auto result = nlohmann::json::parse(json);
  EXPECT_LT(result["validation_loss_after"].get<double>(), result["validation_loss_before"].get<double>() - 0.5);
  for (const char* file : {"adapter/adapter_config.json", "adapter/adapter_model.safetensors", "metrics.jsonl",
                           "report.html", "run.yaml", "checkpoints/step-30/state.json", "events"}) {
    EXPECT_TRUE(fs::exists(fs::path(learn.output.folder) / file)) << file;
  }
  EXPECT_THAT(base::read_file(fs::path(learn.output.folder) / "report.html"), HasSubstr("<svg"));
  EXPECT_EQ(base::read_file(fs::path(learn.output.folder) / "run.yaml"), "run: here\n");

  // The keys are documented in metrics.h: scripts depend on them.
  std::vector<std::string> lines = base::split(base::read_file(fs::path(learn.output.folder) / "metrics.jsonl"), '\n');
  auto keys = [](const std::string& line) {
    std::vector<std::string> keys;
    const auto json = nlohmann::ordered_json::parse(line);
    for (const auto& item : json.items()) keys.push_back(item.key());
    return keys;
  };
  EXPECT_THAT(keys(lines[0]),
              ElementsAre("step", "validation_loss", "validation_perplexity", "validation_trained_tokens"));
  EXPECT_THAT(keys(lines[1]), ElementsAre("step", "epoch", "loss", "learning_rate", "gradient_norm", "tokens",
                                          "trained_tokens", "tokens_per_second", "seconds", "peak_memory", "threads"));
  EXPECT_EQ(lines.size(), 1u + 30 + 3 + 1);
}

TEST_F(Train, ValidationIsTheLossThatTheModelGives) {
  TrainOptions one = options("one");
  one.plan.steps = 1;
  one.sources.validation_data = one.sources.data;
  run(one);
  // Every document alone, without the trainer's packing.
  const finetune::Transformer model = tiny_llama::load(model_.path());
  at::NoGradGuard no_gradient;
  double sum = 0;
  std::int64_t count = 0;
  for (const std::string& line : base::split(base::read_file(one.sources.data[0]), '\n')) {
    if (line.empty()) continue;
    const auto record = nlohmann::json::parse(line);
    const std::string prompt = record["prompt"], completion = record["completion"], text = prompt + completion;
    std::vector<std::int64_t> ids(text.begin(), text.end());
    ids.push_back(256);
    finetune::PackedRow row;
    row.ids = at::tensor(ids);
    row.targets = at::full({row.ids.numel()}, -100, at::kLong);
    row.lengths = {row.ids.numel()};
    row.trained = static_cast<std::int64_t>(completion.size()) + 1;
    const auto first = static_cast<std::int64_t>(prompt.size());
    row.targets.narrow(0, first - 1, row.trained).copy_(row.ids.narrow(0, first, row.trained));
    sum += model.loss_sum(row).item<double>();
    count += row.trained;
  }
  const nlohmann::json first = metrics(one)[0];
  EXPECT_EQ(first["validation_trained_tokens"].get<std::int64_t>(), count);
  EXPECT_NEAR(first["validation_loss"].get<double>(), sum / static_cast<double>(count), 1e-5);
}

TEST_F(Train, PackedEqualsUnpacked) {
  // A step that takes the whole data once, packed or not, is the same step.
  TrainOptions packed = options("packed"), unpacked = options("unpacked"), fewer = options("fewer");
  packed.plan.steps = unpacked.plan.steps = fewer.plan.steps = 0;
  packed.plan.epochs = unpacked.plan.epochs = fewer.plan.epochs = 4;
  unpacked.plan.rows.packing = false;
  unpacked.plan.rows_per_batch = 60;
  fewer.plan.rows.packing = false;
  fewer.plan.rows_per_batch = 59;  // can the test fail? One document less in a step
  run(unpacked);
  run(fewer);
  packed.plan.accumulate = 0;
  for (std::int64_t rows = 1; packed.plan.accumulate == 0; ++rows) {  // as many rows as an epoch has
    TrainOptions probe = options("probe");
    probe.output.overwrite = true;
    probe.plan.steps = 1;
    probe.plan.accumulate = rows;
    run(probe);
    if (metrics(probe)[0]["epoch"].get<double>() == 1) packed.plan.accumulate = rows;
  }
  run(packed);
  EXPECT_EQ(metrics(packed).size(), 4u);
  EXPECT_EQ(metrics(packed)[0]["trained_tokens"], metrics(unpacked)[0]["trained_tokens"]);
  EXPECT_NEAR(metrics(packed)[3]["loss"].get<double>(), metrics(unpacked)[3]["loss"].get<double>(), 1e-4);
  EXPECT_LT(tiny_llama::relative(adapter_values(packed), adapter_values(unpacked)), 1e-3);
  EXPECT_GT(tiny_llama::relative(adapter_values(fewer), adapter_values(unpacked)), 1e-2);
}

TEST_F(Train, OneBatchOfEightEqualsEightBatchesOfOne) {
  TrainOptions wide = options("wide"), deep = options("deep"), short_step = options("short");
  wide.plan.rows_per_batch = 8;
  deep.plan.accumulate = 8;
  short_step.plan.accumulate = 7;
  run(wide);
  run(deep);
  run(short_step);
  EXPECT_LT(tiny_llama::relative(adapter_values(wide), adapter_values(deep)), 1e-3);
  EXPECT_GT(tiny_llama::relative(adapter_values(wide), adapter_values(short_step)), 1e-2);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(metrics(wide)[i]["loss"].get<double>(), metrics(deep)[i]["loss"].get<double>(), 1e-4);
  }
}

TEST_F(Train, SameSeedSameBytes) {
  TrainOptions first = options("first"), second = options("second"), other = options("other");
  other.compute.seed = 43;
  for (const TrainOptions& each : {first, second, other}) run(each);
  EXPECT_EQ(adapter_bytes(first), adapter_bytes(second));
  EXPECT_NE(adapter_bytes(first), adapter_bytes(other));
}

TEST_F(Train, ResumedAtAnyStepEndsWithTheSameBytes) {
  TrainOptions unbroken = options("unbroken");
  unbroken.plan.steps = 25;  // more than two epochs: the order of a later epoch must be found again
  unbroken.plan.accumulate = 2;
  unbroken.lora.dropout = 0.1;
  unbroken.intervals.save_every = 1;
  unbroken.intervals.keep_checkpoints = 100;
  unbroken.sources.validation_share = 0.1;
  unbroken.intervals.eval_every = 5;
  run(unbroken);
  EXPECT_GT(metrics(unbroken).back()["step"].get<int>(), 0);
  base::Random random(11);
  for (int trial = 0; trial < 4; ++trial) {
    // As a kill leaves it: checkpoints up to step k, half a checkpoint, metrics that are ahead and end in half a line.
    const auto k = 1 + random.below(24);
    TrainOptions resumed = unbroken;
    resumed.output.folder = (model_.path() / ("resumed" + std::to_string(trial))).string();
    resumed.output.resume = true;
    const fs::path from = unbroken.output.folder, to = resumed.output.folder;
    fs::create_directories(to / "checkpoints/.step-99.part");
    fs::copy(from / "checkpoints" / ("step-" + std::to_string(k)), to / "checkpoints" / ("step-" + std::to_string(k)));
    fs::copy(from / "run.yaml", to / "run.yaml");
    base::write_file(to / "metrics.jsonl", base::read_file(from / "metrics.jsonl") + "{\"step\":7,\"los");
    EXPECT_THAT(run(resumed), HasSubstr("going on after step " + std::to_string(k)));
    EXPECT_EQ(adapter_bytes(resumed), adapter_bytes(unbroken)) << "resumed after step " << k;
    EXPECT_FALSE(fs::exists(to / "checkpoints/.step-99.part"));
    const auto expected = metrics(unbroken), got = metrics(resumed);
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      for (const char* key : {"step", "epoch", "loss", "gradient_norm", "validation_loss"}) {
        EXPECT_EQ(got[i].value(key, -1.0), expected[i].value(key, -1.0)) << key << " in line " << i;
      }
    }
    double before = 0;  // the clock of a run goes on where the killed process stood
    for (const auto& line : got) {
      if (!line.contains("seconds")) continue;
      EXPECT_GT(line["seconds"].get<double>(), before) << line;
      before = line["seconds"].get<double>();
    }
  }
  // Can the test fail? A checkpoint whose optimizer forgot its second moment.
  TrainOptions broken = unbroken;
  broken.output.folder = (model_.path() / "broken").string();
  broken.output.resume = true;
  auto checkpoint = finetune::read_newest_checkpoint(model_.path() / "resumed0/checkpoints");
  ASSERT_TRUE(checkpoint);
  checkpoint->step = 12;
  checkpoint->optimizer[1].second.fill_(1e-4);
  finetune::write_checkpoint(fs::path(broken.output.folder) / "checkpoints", *checkpoint, 2);
  run(broken);
  EXPECT_NE(adapter_bytes(broken), adapter_bytes(unbroken));
}

TEST_F(Train, AFinishedRunResumesToItself) {
  TrainOptions once = options("once");
  run(once);
  const std::string before = adapter_bytes(once);
  once.output.resume = true;
  run(once);
  EXPECT_EQ(adapter_bytes(once), before);
  EXPECT_EQ(metrics(once).size(), 6u);
}

TEST_F(Train, ResumeRefusesAnotherRun) {
  TrainOptions first = options("first");
  run(first);
  first.output.resume = true;
  TrainOptions rate = first, data = first, dropout = first;
  rate.optimizer.learning_rate = 1e-3;
  EXPECT_THAT(error_of<base::UsageError>(rate), HasSubstr("--learning-rate"));
  dropout.lora.dropout = 0.5;
  EXPECT_THAT(error_of<base::UsageError>(dropout), HasSubstr("--lora.dropout"));
  base::write_file(model_.path() / "other.jsonl", "{\"text\":\"something else\"}\n");
  data.sources.data = {(model_.path() / "other.jsonl").string()};
  EXPECT_THAT(error_of<base::UsageError>(data), HasSubstr("--data"));
  data.plan.steps = 0;  // one epoch of these is fewer steps than were done: not what is wrong
  EXPECT_THAT(error_of<base::UsageError>(data), HasSubstr("--data"));
  TrainOptions fresh = options("first");
  EXPECT_THAT(error_of<base::UsageError>(fresh), HasSubstr("the output folder is not empty"));
}

// A base and its fine-tune have the same file names, headers and sizes.
TEST_F(Train, ResumeTellsTheBaseFromItsFineTune) {
  TrainOptions first = options("first");
  run(first);
  first.output.resume = true;
  const tiny_llama::Changed tuned("tied", [](const std::string& name, at::Tensor& tensor) {
    if (name.find("layers.1.mlp.up_proj") != name.npos) tensor.mul_(1.001);
  });
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    fs::copy(model_.path() / name, tuned.path() / name);
  TrainOptions other = first, slash = first, moved = first;
  other.start.model = tuned.path().string();
  EXPECT_THAT(error_of<base::UsageError>(other), testing::AllOf(HasSubstr("model"), HasSubstr("weights")));
  other.start.model += "/";
  EXPECT_THAT(error_of<base::UsageError>(other), HasSubstr("model"));
  slash.start.model += "/";
  EXPECT_THAT(run(slash), HasSubstr("going on after step 6"));
  const fs::path copy = model_.path() / "elsewhere";
  fs::create_directories(copy);
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"})
    fs::copy(model_.path() / name, copy / name);
  moved.start.model = copy.string();
  EXPECT_THAT(run(moved), HasSubstr("going on after step 6"));
}

// Also of a run that was killed before its first checkpoint, or goes on with other options.
TEST_F(Train, TheRunFileSaysWhatRunsNow) {
  TrainOptions killed = options("killed");
  fs::create_directories(killed.output.folder);
  base::write_file(fs::path(killed.output.folder) / "run.yaml", "model: /another/model\n");
  killed.output.resume = true;
  run(killed);
  EXPECT_EQ(base::read_file(fs::path(killed.output.folder) / "run.yaml"), "run: here\n");
  base::write_file(fs::path(killed.output.folder) / "run.yaml", "run: the first\n");
  run(killed);  // goes on after the last step
  EXPECT_EQ(base::read_file(fs::path(killed.output.folder) / "run.yaml"), "run: here\n");
}

TEST_F(Train, TheAdapterNamesItsBaseForOtherMachines) {
  TrainOptions named = options("named");
  named.start.base_name = "org/model";
  run(named);
  EXPECT_EQ(lora::read_adapter(fs::path(named.output.folder) / "adapter").base_model, "org/model");
  EXPECT_THAT(base::read_file(fs::path(named.output.folder) / "adapter/README.md"), HasSubstr("base_model: org/model"));
  named.output.folder += "2";
  named.start.base_name = model_.path().string();
  EXPECT_THAT(error_of<base::UsageError>(named), HasSubstr("ORG/MODEL"));
  EXPECT_FALSE(fs::exists(named.output.folder));
}

TEST_F(Train, ALossThatIsNotFiniteStopsTheRunAndKeepsTheCheckpoint) {
  TrainOptions wild = options("wild");
  wild.optimizer.learning_rate = 1e30;
  wild.optimizer.warmup_ratio = 0;
  wild.intervals.save_every = 1;
  EXPECT_THAT(error_of<base::Error>(wild), HasSubstr("not finite"));
  EXPECT_FALSE(fs::exists(fs::path(wild.output.folder) / "adapter"));
  const auto checkpoint = finetune::read_newest_checkpoint(fs::path(wild.output.folder) / "checkpoints");
  ASSERT_TRUE(checkpoint);
  EXPECT_TRUE(at::isfinite(finetune::flat_values(checkpoint->adapter)).all().item<bool>());
}

TEST_F(Train, WrongUsageIsRefusedBeforeTraining) {
  TrainOptions long_rows = options("bad"), both = options("bad");
  long_rows.plan.rows.max_length = 4096;
  EXPECT_THAT(error_of<base::UsageError>(long_rows), HasSubstr("context"));
  both.sources.validation_data = both.sources.data;
  both.sources.validation_share = 0.1;
  EXPECT_THAT(error_of<base::UsageError>(both), HasSubstr("not both"));
  for (const char* name : {"--epochs", "--lora.rank", "--rows-per-batch", "--learning-rate"}) {
    TrainOptions parsed;
    base::OptionSet set(parsed);
    EXPECT_THAT(::error_of([&] { set.read_words({name, "0"}); }), HasSubstr(name));
  }
}

TEST_F(Train, CheckpointsArePrunedAndDamageIsSaid) {
  TrainOptions often = options("often");
  often.intervals.save_every = 1;
  often.intervals.keep_checkpoints = 2;
  run(often);
  const fs::path checkpoints = fs::path(often.output.folder) / "checkpoints";
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(checkpoints)) names.push_back(entry.path().filename());
  EXPECT_THAT(names, testing::UnorderedElementsAre("step-5", "step-6"));
  base::write_file(checkpoints / "step-6/state.json", "{");
  often.output.resume = true;
  EXPECT_THAT(error_of<base::Error>(often), HasSubstr("delete the folder"));
  fs::remove_all(checkpoints / "step-6");
  EXPECT_THAT(run(often), HasSubstr("going on after step 5"));
}

TEST_F(Train, AChosenChatTemplateStaysWithTheAdapter) {
  base::write_file(
      model_.path() / "chats.jsonl",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Yes\"}]}\n");
  TrainOptions options = this->options("chats");
  options.sources.data = {(model_.path() / "chats.jsonl").string()};
  EXPECT_THAT(error_of<base::UsageError>(options), HasSubstr("--chat-template"));  // the base has none
  options.reading.chat.chat_template = "chatml";
  EXPECT_THAT(error_of<base::Error>(options), HasSubstr("<|im_end|>"));  // its marks are no tokens here
  EXPECT_FALSE(fs::exists(options.output.folder));
  options.reading.chat.chat_template = "zephyr";
  run(options);
  const std::string zephyr = tokenizer::named_templates().at("zephyr");
  const fs::path output = options.output.folder;
  for (const char* folder : {"adapter", "checkpoints/step-6"})
    EXPECT_EQ(base::read_file(output / folder / "chat_template.jinja"), zephyr) << folder;
  EXPECT_TRUE(fs::exists(output / "adapter/tokenizer.json"));
  const finetune::LoadedModel loaded =
      finetune::load_model({options.start.model, options.output.folder, "float32", "cpu", 1});
  EXPECT_EQ(loaded.tokenizer->chat_template, zephyr);
  // Going on from it needs no option.
  TrainOptions next = options;
  next.reading.chat.chat_template.clear();
  next.start.adapter = options.output.folder;
  next.output.folder = (model_.path() / "next").string();
  run(next);
  EXPECT_EQ(base::read_file(fs::path(next.output.folder) / "adapter/chat_template.jinja"), zephyr);
}

}  // namespace
