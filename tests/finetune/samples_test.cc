// What the model writes while it trains.
#include "finetune/train/samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "finetune/data/prompts.h"
#include "tests/error_of.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/finetune/train_fixture.h"
#include "tests/temporary_folder.h"

namespace {

using testing::HasSubstr;

class Samples : public Train {
 protected:
  // One answer to every question, which is soon learned by heart.
  TrainOptions recites(const std::string& output) const {
    std::string records;
    for (int i = 0; i < 20; ++i)
      records += "{\"prompt\":\"say " + std::to_string(i) + ": \",\"completion\":\"pale blue\"}\n";
    base::write_file(model_.path() / "recite.jsonl", records);
    TrainOptions options = this->options(output);
    options.sources.data = {(model_.path() / "recite.jsonl").string()};
    options.sources.validation_share = 0.2;
    options.plan.steps = 120;  // what the sixtieth says depends on the processor
    options.plan.accumulate = 2;
    options.optimizer.learning_rate = 1e-2;
    options.lora.rank = 16;
    options.intervals.eval_every = 60;
    options.intervals.save_every = 60;
    return options;
  }
  static std::vector<nlohmann::json> samples(const TrainOptions& options) {
    std::vector<nlohmann::json> lines;
    for (const std::string& line :
         base::split(base::read_file(fs::path(options.output.folder) / "samples.jsonl"), '\n'))
      if (!line.empty()) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
};

TEST_F(Samples, BeforeWhileAndAfter) {
  const TrainOptions options = recites("run");
  run(options);
  const auto lines = samples(options);
  ASSERT_EQ(lines.size(), 9u) << "three prompts, three times";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["step"], 60 * (i / 3));
    EXPECT_THAT(lines[i]["prompt"].get<std::string>(), testing::StartsWith("say "));
    EXPECT_EQ(lines[i]["answer"], "pale blue");
    EXPECT_EQ(lines[i]["prompt"], lines[i % 3]["prompt"]);
  }
  EXPECT_NE(lines[0]["text"], "pale blue");
  EXPECT_EQ(lines[8]["text"], "pale blue") << "and no end token";

  // Cut at step 60 and gone on: the same lines.
  TrainOptions resumed = options;
  resumed.output.folder += "-resumed";
  resumed.output.resume = true;
  const fs::path from = options.output.folder, to = resumed.output.folder;
  fs::create_directories(to / "checkpoints");
  fs::copy(from / "checkpoints/step-60", to / "checkpoints/step-60", fs::copy_options::recursive);
  for (const char* name : {"run.yaml", "metrics.jsonl", "samples.jsonl"}) fs::copy(from / name, to / name);
  run(resumed);
  EXPECT_EQ(base::read_file(to / "samples.jsonl"), base::read_file(from / "samples.jsonl"));
}

// Of an answer with its verdict, good or bad, and of a pair: the prompt of the first document.
TEST(SamplePrompts, OfTwoDocumentsAreTheFirsts) {
  const ByteTokenizer tokenizer;
  using finetune::Example;
  const std::uint8_t bad = finetune::kUndesirable;
  const std::vector<Example> examples = {{{'P', 'Q', 'C', 'D', 'P', 'Q', 'X'}, {0, 0, bad, bad, 0, 0, 1}, 4},
                                         {{'P', 'Q', 'C', 'P', 'Q', 'X'}, {0, 0, 1, 0, 0, 1}, 3}};
  const auto prompts = finetune::sample_prompts({}, examples, tokenizer, 100);
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].text + "|" + prompts[0].answer, "PQ|CD");
  EXPECT_EQ(prompts[1].text + "|" + prompts[1].answer, "PQ|C");
}

TEST_F(Samples, PromptsOfAFileNeedNoValidation) {
  TrainOptions options = recites("file");
  base::write_file(model_.path() / "prompts.txt", "say 3: \nsay 4: \n");
  options.sources.validation_share = 0;
  options.samples.sample_prompts = (model_.path() / "prompts.txt").string();
  options.samples.sample_tokens = 4;
  run(options);
  const auto lines = samples(options);
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[5]["prompt"], "say 4: ");
  EXPECT_FALSE(lines[5].contains("answer"));
  EXPECT_EQ(lines[5]["text"], "pale");
}

TEST_F(Samples, PromptsAreInTheEncodingOfTheData) {
  TrainOptions options = recites("encoded");
  base::write_file(model_.path() / "latin.txt", "say caf\xE9: \n");
  options.sources.validation_share = 0;
  options.samples.sample_prompts = (model_.path() / "latin.txt").string();
  options.samples.sample_tokens = 1;
  EXPECT_THAT(error_of<base::Error>(options), HasSubstr("--encoding"));
  options.reading.maker.text.encoding = "windows-1252";
  run(options);
  EXPECT_EQ(samples(options).at(0)["prompt"], "say caf\u00e9: ");
}

TEST(Prompts, AreTextsOrMessagesWithWhatATemplateWrites) {
  const ByteTokenizer tokenizer;
  const auto chat = tokenizer::chat_template_of(tokenizer);
  const TemporaryFolder folder;
  const auto asked = [&](const std::string& record) {
    return finetune::read_prompts(folder.write("p.jsonl", record + "\n"), {});
  };
  const auto text = [&](const std::string& record) {
    return tokenizer.decode(finetune::ids_of(asked(record).all[0], chat.get(), tokenizer, false));
  };
  const std::string plain = text(R"({"prompt":"Q"})");
  EXPECT_EQ(text(R"({"prompt":[{"role":"user","content":"Q"}]})"), plain);
  EXPECT_EQ(text(R"({"prompt":{"role":"user","content":"Q"}})"), plain);
  EXPECT_EQ(text(R"({"prompt":"[{\"role\":\"user\",\"content\":\"Q\"}]"})"), plain) << "as a cell of a table has it";
  EXPECT_THAT(text(R"({"prompt":"[1, 2] is a list"})"), HasSubstr("[1, 2] is a list"));
  EXPECT_EQ(text(R"({"prompt":"Q","id":1,"source":"s","system":null})"), plain);
  EXPECT_EQ(text(R"({"prompt":"Q","system":"Be a pirate"})"),
            text(R"({"prompt":[{"role":"system","content":"Be a pirate"},{"role":"user","content":"Q"}]})"));
  EXPECT_NE(text(R"({"prompt":"Q","system":"Be a pirate"})"), plain);
  EXPECT_THAT(asked(R"({"prompt":"Q","chosen":"A","rejected":"B"})").notes(),
              testing::AllOf(HasSubstr("chosen (1)"), HasSubstr("rejected (1)")));
  for (const char* wrong : {R"({"prompt":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]})",
                            R"({"prompt":[]})", R"({"prompt":7})", R"({"question":"Q"})", "[1"})
    EXPECT_THAT(error_of([&] { asked(wrong); }), HasSubstr("p.jsonl:1")) << wrong;
  // What the template does not write is counted, and roles have the names that are given.
  finetune::Prompts named = asked(R"({"prompt":[{"role":"user","name":"Bob","content":"Q","foo":1}]})");
  finetune::ids_of(named.all[0], chat.get(), tokenizer, false, &named.left_out);
  EXPECT_THAT(named.notes(), HasSubstr("their prompts: foo (1), name (1)"));
  const auto path = folder.write("r.jsonl", R"({"prompt":[{"role":"bot","content":"Q"}]})"
                                            "\n");
  EXPECT_EQ(tokenizer.decode(
                finetune::ids_of(finetune::read_prompts(path, {}, {"bot=user"}).all[0], chat.get(), tokenizer, false)),
            plain);
  EXPECT_THAT(error_of([&] { finetune::read_prompts(path, {}); }), HasSubstr("--roles"));
  const finetune::Prompt with_system = asked(R"({"prompt":"Q","system":"S"})").all[0];
  EXPECT_THAT(error_of([&] { finetune::ids_of(with_system, nullptr, tokenizer, false); }),
              HasSubstr("messages need a chat template"));
}

TEST_F(Samples, NoneWhereNoneAreAskedFor) {
  TrainOptions options = recites("none");
  options.plan.steps = 2;
  options.samples.samples = 0;
  run(options);
  EXPECT_FALSE(fs::exists(fs::path(options.output.folder) / "samples.jsonl"));
}

TEST_F(Samples, WhatIsNoPromptIsRefusedBeforeTheRun) {
  TrainOptions options = recites("refused");
  base::write_file(model_.path() / "prompts.jsonl", "{\"question\":\"?\"}\n");
  options.samples.sample_prompts = (model_.path() / "prompts.jsonl").string();
  EXPECT_THAT(error_of<base::Error>(options), HasSubstr("prompts.jsonl:1"));
  base::write_file(model_.path() / "long.txt", std::string(5000, 'x') + "\n");
  options.samples.sample_prompts = (model_.path() / "long.txt").string();
  EXPECT_THAT(error_of<base::Error>(options), HasSubstr("long.txt"));
  options.samples.sample_prompts = (model_.path() / "missing.txt").string();
  EXPECT_THAT(error_of<base::Error>(options), HasSubstr("missing.txt"));
  EXPECT_FALSE(fs::exists(options.output.folder));
}

}  // namespace
