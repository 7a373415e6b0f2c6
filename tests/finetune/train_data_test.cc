// What `finetune train` learns from: formats, mixtures, the cache, and what is said and refused before the first step.
#include "finetune/train/train_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "finetune/train/train_start.h"
#include "tests/finetune/train_fixture.h"

namespace {

using testing::HasSubstr;
using testing::Not;

const fs::path kRecords = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/finetune/records";

class TrainData : public Train {
 protected:
  TrainData() {
    base::write_file(model_.path() / "lines.jinja",
                     "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}<|endoftext|>{% endfor %}");
  }
  TrainOptions with(const std::string& output, const std::string& records) const {
    TrainOptions options = this->options(output);
    options.sources.data = {(model_.path() / (output + ".jsonl")).string()};
    base::write_file(options.sources.data[0], records);
    return options;
  }
  // The adapter after some steps is that of the data, whatever their format.
  std::string adapter_of(const std::string& output, const fs::path& data) {
    TrainOptions options = this->options(output);
    options.plan.steps = 2;
    options.sources.data = {data.string()};
    options.reading.chat.chat_template = (model_.path() / "lines.jinja").string();
    options.plan.rows.max_length = 128;
    run(options);
    return adapter_bytes(options);
  }
  static finetune::TrainingData inputs_of(TrainOptions options) {
    std::ostringstream out, err;
    base::Context context{out, err, true, false, "", "finetune"};
    return finetune::read_inputs(options, context).data;
  }
  static std::string shown(TrainOptions options) {
    std::ostringstream out, err;
    base::Context context{out, err, true, false, "", "finetune"};
    finetune::run_train(options, context);
    return out.str();
  }
  static nlohmann::json json_of(const TrainOptions& options, std::string* said = nullptr) {
    std::string json;
    const std::string text = run(options, &json);
    if (said) *said = text;
    return nlohmann::json::parse(json);
  }
};

TEST_F(TrainData, EveryFormatGivesTheSameExamples) {
  const auto rows_of = [&](const std::string& name) {
    TrainOptions options = this->options("none");
    options.sources.data = {(kRecords / name).string()};
    options.sources.validation_data = options.sources.data;
    options.reading.chat.chat_template = (model_.path() / "lines.jinja").string();
    options.reading.show_batch = true;
    options.plan.rows.max_length = 128;
    std::string json;
    const std::string said = run(options, &json);
    EXPECT_THAT(said, HasSubstr("read 18 records: 18 used")) << name;
    EXPECT_FALSE(fs::exists(options.output.folder)) << "--show-batch writes nothing";
    const finetune::TrainingData data = inputs_of(options);
    return std::pair(finetune::fingerprint(data.training), finetune::fingerprint(data.validation));
  };
  const auto chat = rows_of("chat.jsonl"), prompts = rows_of("prompts.jsonl");
  EXPECT_NE(chat, prompts);
  EXPECT_EQ(chat.first, chat.second);
  for (const char* name : {"chat.json", "chat.parquet"}) EXPECT_EQ(rows_of(name), chat) << name;
  for (const char* name : {"prompts.json", "prompts.csv", "prompts.tsv", "prompts.parquet"})
    EXPECT_EQ(rows_of(name), prompts) << name;
}

TEST_F(TrainData, AFormatTrainsAndValidatesAsJsonLinesDo) {
  const std::string adapter = adapter_of("jsonl", kRecords / "chat.jsonl");
  EXPECT_EQ(adapter_of("parquet", kRecords / "chat.parquet"), adapter);
  EXPECT_NE(adapter_of("csv", kRecords / "prompts.csv"), adapter);
  for (const char* format : {"csv", "parquet"}) {
    TrainOptions options = this->options(std::string("validated") + format);
    options.sources.validation_data = {(kRecords / (std::string("prompts.") + format)).string()};
    EXPECT_THAT(run(options), HasSubstr("validation data: read 18 records: 18 used")) << format;
  }
}

TEST_F(TrainData, ASecondStartReadsWhatTheFirstPrepared) {
  TrainOptions first = options("first"), second = options("second"), none = options("third");
  EXPECT_THAT(run(first), HasSubstr("data cache: kept in"));
  EXPECT_THAT(run(second), HasSubstr("data cache: prepared before"));
  none.reading.cache.data_cache = "none";
  EXPECT_THAT(run(none), Not(HasSubstr("data cache")));
  EXPECT_EQ(adapter_bytes(second), adapter_bytes(first));
  EXPECT_EQ(adapter_bytes(none), adapter_bytes(first));
  // Another seed, rate or rank is no reason to prepare anew; another template is.
  TrainOptions other = options("other");
  other.compute.seed = 7;
  other.lora.rank = 2;
  other.plan.rows.packing = false;
  EXPECT_THAT(run(other), HasSubstr("data cache: prepared before"));
  TrainOptions chat = options("chat");
  chat.reading.chat.chat_template = (model_.path() / "lines.jinja").string();
  EXPECT_THAT(run(chat), HasSubstr("data cache: kept in"));
}

TEST_F(TrainData, SaysWhereEveryRecordWent) {
  TrainOptions mixed = with("mixed",
                            "{\"prompt\":\"a\",\"completion\":\"b\"}\n"
                            "{\"prompt\":\"a\",\"completion\":\"" +
                                std::string(100, 'c') +
                                "\"}\n"
                                "not json\n"
                                "{\"prompt\":\"" +
                                std::string(100, 'p') +
                                "\",\"completion\":\"b\"}\n"
                                "{\"other\":1}\n");
  const std::string file = mixed.sources.data[0];
  std::string said;
  const nlohmann::json all = json_of(mixed, &said);
  const nlohmann::json& data = all["preflight"]["data"]["training"];
  EXPECT_THAT(said, HasSubstr("  truncated: " + file + ":2\n"));
  EXPECT_THAT(said, HasSubstr("  without trained tokens: " + file + ":4\n"));
  EXPECT_THAT(said, HasSubstr("  bad: " + file + ":3 (not valid JSON"));
  EXPECT_THAT(said, HasSubstr(file + ":5 (the record has no known shape"));
  EXPECT_THAT(said, HasSubstr("an end token is trained in 1 of 2 records"));
  EXPECT_THAT(said, HasSubstr("of the tokens are trained"));
  EXPECT_THAT(said, HasSubstr("text comes back from its tokens in 1 of 1 records tried"));
  EXPECT_THAT(said, HasSubstr("memory: about"));
  EXPECT_THAT(said, Not(HasSubstr("time: about"))) << "few tokens";
  EXPECT_EQ(data["read"], 5);
  EXPECT_EQ(data["kept"], 2);
  EXPECT_EQ(data["dropped"], 3);
  EXPECT_EQ(data["end_trained"], 1);
  EXPECT_EQ(data["altered"]["truncated"]["records"], 1);
  EXPECT_EQ(data["altered"]["bad"]["first"][1].get<std::string>().substr(0, file.size() + 2), file + ":5");
  EXPECT_GT(all["preflight"]["memory_bytes"], 0);
  std::vector<std::string> fates;
  for (const std::string& line :
       base::split(base::read_file(fs::path(mixed.output.folder) / "altered_records.jsonl"), '\n')) {
    if (line.empty()) continue;
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["file"], file);
    fates.push_back(std::to_string(json["line"].get<int>()) + " " + json["became"].get<std::string>());
  }
  EXPECT_THAT(fates, testing::ElementsAre("2 truncated", "3 bad", "4 without trained tokens", "5 bad"));

  mixed.output.overwrite = true;
  mixed.plan.rows.too_long = "drop";
  EXPECT_THAT(run(mixed), HasSubstr("  too long: " + file + ":2, " + file + ":4\n"));
  mixed.plan.rows.too_long = "split";
  EXPECT_THAT(run(mixed), HasSubstr("  split: " + file + ":2, " + file + ":4\n"));
  EXPECT_FALSE(fs::exists(fs::path(options("clean").output.folder) / "altered_records.jsonl"));
}

TEST_F(TrainData, AnEndThatIsNeverTrainedIsRefused) {
  TrainOptions cut = with("cut", "{\"text\":\"" + std::string(200, 't') + "\"}\n");
  const std::string error = error_of<base::Error>(cut);
  EXPECT_THAT(error, HasSubstr("no end token is trained"));
  EXPECT_THAT(error, HasSubstr("--too-long split"));
  EXPECT_FALSE(fs::exists(cut.output.folder));
  cut.plan.rows.too_long = "split";
  run(cut);
  cut.output.overwrite = true;
  cut.plan.rows.too_long = "truncate";
  cut.reading.allow_no_end = true;
  EXPECT_THAT(run(cut), HasSubstr("no end token is trained"));
}

TEST_F(TrainData, BosTwiceIsCounted) {
  base::write_file(model_.path() / "tokenizer_config.json",
                   R"({"eos_token":"<|endoftext|>","bos_token":"<|endoftext|>","add_bos_token":true})");
  TrainOptions twice =
      with("twice",
           "{\"text\":\"<|endoftext|><|endoftext|>a\"}\n{\"text\":\"<|endoftext|>b\"}\n{\"text\":\"c\"}\n"
           "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n");
  twice.reading.maker.allow_special = true;
  base::write_file(model_.path() / "plain.jinja", "{% for m in messages %}{{ m['content'] }}<|endoftext|>{% endfor %}");
  twice.reading.chat.chat_template = (model_.path() / "plain.jinja").string();
  std::string said;
  const nlohmann::json json = json_of(twice, &said);
  EXPECT_THAT(said, HasSubstr("begin with <|endoftext|> twice: 1 records"));
  EXPECT_THAT(said, HasSubstr("warning: 1 records do not begin with <|endoftext|>"));
  EXPECT_EQ(json["preflight"]["data"]["training"]["double_bos"], 1);
  EXPECT_EQ(json["preflight"]["data"]["training"]["without_bos"], 1);
}

// Arrow gives every object of a column the members of all the others, and a template writes them.
TEST_F(TrainData, NullsInToolsAreCounted) {
  const auto record = [](const std::string& arguments, const std::string& words) {
    return R"({"messages":[{"role":"user","content":")" + words +
           R"("},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":)" + arguments +
           "}}]}]}\n";
  };
  TrainOptions calls = with("calls", record(R"({"zip":null})", "a") + record(R"({"zip":1})", "a") +
                                         record(R"({"a":[null],"b":"\":null"})", "a"));
  base::write_file(model_.path() / "calls.jinja",
                   "{% for m in messages %}{{ m['content'] }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}"
                   "{% endif %}<|endoftext|>{% endfor %}");
  calls.reading.chat.chat_template = (model_.path() / "calls.jinja").string();
  calls.plan.rows.max_length = 128;
  std::string said;
  const nlohmann::json json = json_of(calls, &said);
  EXPECT_THAT(said, HasSubstr("null as a member of tools or their calls: 1 records"));
  EXPECT_EQ(json["preflight"]["data"]["training"]["nulls"], 1);
}

// A template that writes the day (Llama 3.2's) writes that of the run's start also tomorrow.
TEST_F(TrainData, ARunKeepsItsDate) {
  const std::string record = R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})"
                             "\n";
  TrainOptions dated = with("dated", record + record);
  base::write_file(
      model_.path() / "dated.jinja",
      "{{ strftime_now('%d %b %Y %H') }}{% for m in messages %}{{ m['content'] }}<|endoftext|>{% endfor %}");
  dated.reading.chat.chat_template = (model_.path() / "dated.jinja").string();
  dated.reading.template_date = "2020-02-30";
  EXPECT_THAT(error_of<base::UsageError>(dated), HasSubstr("no day"));
  dated.reading.template_date = "2020-02-03";
  dated.plan.steps = 2;
  EXPECT_THAT(run(dated), HasSubstr("the chat template writes the date 2020-02-03 (--template-date)"));
  TrainOptions batch = dated;
  batch.reading.show_batch = true;
  EXPECT_THAT(shown(batch), HasSubstr("03 Feb 2020 12a<|endoftext|>"));
  dated.output.resume = true;
  dated.reading.template_date.clear();
  dated.plan.steps = 4;
  EXPECT_THAT(run(dated), testing::AllOf(HasSubstr("going on after step 2"), HasSubstr("the date 2020-02-03")));
  dated.reading.template_date = "2020-02-04";
  EXPECT_THAT(error_of<base::UsageError>(dated), HasSubstr("--template-date"));

  TrainOptions undated = with("undated", record);
  undated.reading.chat.chat_template = (model_.path() / "lines.jinja").string();
  undated.reading.template_date = "2020-02-03";
  EXPECT_THAT(error_of<base::UsageError>(undated), HasSubstr("writes no date"));
}

TEST_F(TrainData, TimeIsForetoldOfALongRun) {
  TrainOptions far = options("far"), near = options("near");
  far.plan.accumulate = near.plan.accumulate = 4;
  far.plan.steps = near.plan.steps = 25;
  std::string said;
  const nlohmann::json json = json_of(far, &said);
  EXPECT_THAT(said, HasSubstr("time: about"));
  EXPECT_GT(json["preflight"]["seconds"].get<double>(), 0);
  // What was tried leaves nothing behind: the first six steps are those of a run that tried nothing.
  near.plan.steps = 6;
  near.optimizer.schedule = far.optimizer.schedule = "constant";
  near.optimizer.warmup_ratio = far.optimizer.warmup_ratio = 0;
  far.output.overwrite = true;
  run(far);
  run(near);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(metrics(far)[i]["loss"], metrics(near)[i]["loss"]) << i;
}

TEST_F(TrainData, MixesByWeight) {
  const auto file = [&](const char* name, int count, char letter) {
    std::string records;
    for (int i = 0; i < count; ++i)
      records += "{\"prompt\":\"p" + std::to_string(i) + " \",\"completion\":\"" + letter + "\"}\n";
    base::write_file(model_.path() / name, records);
    return (model_.path() / name).string();
  };
  TrainOptions mix = options("mix");
  mix.sources.data = {file("a.jsonl", 10, 'a'), file("b.jsonl", 30, 'b'), file("c.jsonl", 5, 'c')};
  mix.sources.data_weights = {3, 1, 0};
  mix.plan.steps = 0;
  std::string said;
  const nlohmann::json json = json_of(mix, &said);
  EXPECT_THAT(said, HasSubstr("mixture: " + mix.sources.data[0] +
                              ": 30 of 40 examples of an epoch (75.0%): all of its 10, each 3 times"));
  EXPECT_THAT(said, HasSubstr("b.jsonl: 10 of 40 examples of an epoch (25.0%): some of its 30, 20 are left out"));
  EXPECT_THAT(said, HasSubstr("c.jsonl: weight 0, nothing of it is trained"));
  EXPECT_EQ(json["preflight"]["data"]["mixture"][0]["taken"], 30);
  std::int64_t trained = 0;
  for (const auto& line : metrics(mix)) trained += line["trained_tokens"].get<std::int64_t>();
  EXPECT_EQ(trained, 80) << "a letter and an end of each example";

  TrainOptions again = mix, other = mix;
  again.output.folder = (model_.path() / "again").string();
  run(again);
  EXPECT_EQ(adapter_bytes(again), adapter_bytes(mix));
  again.output.resume = true;
  again.sources.data_weights = {1, 3, 0};
  EXPECT_THAT(error_of<base::UsageError>(again), HasSubstr("--data-weights"));

  other.output.folder = (model_.path() / "other").string();
  other.sources.data_weights = {1, 1};
  EXPECT_THAT(error_of<base::UsageError>(other), HasSubstr("3 numbers"));
  other.sources.data = {(model_.path() / "[ab].jsonl").string(), mix.sources.data[1]};
  EXPECT_THAT(error_of<base::UsageError>(other), HasSubstr("under two weights"));
  other.sources.data = {(model_.path() / "[ab].jsonl").string(), mix.sources.data[2]};
  EXPECT_THAT(run(other), HasSubstr("23 of 45 examples of an epoch (51.1%): some of its 40, 17 are left out"));
}

TEST_F(TrainData, SaysWhenValidationIsOfTrainedText) {
  TrainOptions same = options("same");
  same.sources.validation_data = same.sources.data;
  same.plan.steps = 1;
  EXPECT_THAT(run(same), HasSubstr("note: 60 of 60 validation examples stand in the training data too"));
  TrainOptions other = options("other");
  other.sources.validation_share = 0.1;
  other.plan.steps = 1;
  EXPECT_THAT(run(other), testing::Not(HasSubstr("stand in the training data")));
}

TEST_F(TrainData, ShowBatchNeedsNoOutput) {
  TrainOptions look = options("look");
  look.output.folder.clear();
  look.reading.show_batch = true;
  std::ostringstream out, err;
  base::Context context{out, err, false, false, "", "finetune"};
  EXPECT_EQ(finetune::run_train(look, context), 0);
  EXPECT_THAT(out.str(), HasSubstr("--- document 1 of "));
  EXPECT_THAT(out.str(), HasSubstr("say "));
  EXPECT_THAT(out.str(), HasSubstr("⟦"));
  EXPECT_THAT(err.str(), HasSubstr("nothing was trained"));
  look.reading.show_batch = false;
  EXPECT_THAT(error_of<base::UsageError>(look), HasSubstr("missing option --output"));
}

TEST_F(TrainData, ABaseOfNoNumbersIsRefusedBeforeAnythingIsWritten) {
  tiny_llama::Changed spoiled("tied", [](const std::string& name, at::Tensor& tensor) {
    if (name.ends_with("layers.1.mlp.up_proj.weight")) tensor[0][0] = std::numeric_limits<float>::quiet_NaN();
  });
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    fs::copy_file(model_.path() / name, spoiled.path() / name);
  TrainOptions nan = options("nan");
  nan.start.model = spoiled.path().string();
  EXPECT_THAT(error_of<base::Error>(nan), HasSubstr("layers.1.mlp.up_proj.weight"));
  EXPECT_FALSE(fs::exists(nan.output.folder));
}

}  // namespace
