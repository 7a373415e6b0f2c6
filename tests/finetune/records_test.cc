// What is trained is what the records say: boundaries, flags, special tokens written out, and what is refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/stream.h"
#include "base/text.h"
#include "finetune/data/data.h"
#include "finetune/data/findings.h"
#include "tests/error_of.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::Example;
using finetune::ExampleMaker;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

json golden(const std::string& name) {
  const auto reader =
      base::open_reader(std::string(HORNBOOK_SOURCE_DIR) + "/tests/golden/tokenizer/" + name + ".json.gz");
  std::string text;
  std::vector<char> buffer(1 << 16);
  while (const std::size_t size = reader->read(buffer.data(), buffer.size())) text.append(buffer.data(), size);
  return json::parse(text);
}

// The Mistral vocabulary in a folder with `config` as its tokenizer_config.json.
std::unique_ptr<tokenizer::Tokenizer> mistral(const TemporaryFolder& folder, const json& config) {
  const std::string source = std::string(HORNBOOK_SOURCE_DIR) + "/build/data/mistral-v1.model";
  std::filesystem::copy(source, folder / "tokenizer.model", std::filesystem::copy_options::overwrite_existing);
  base::write_file(folder / "tokenizer_config.json", config.dump());
  return tokenizer::load(folder.path());
}

// Numbers that JSON has not, in fields that nobody reads, lose no record; where they are read they are refused.
TEST(Records, NumbersThatNothingReads) {
  const TemporaryFolder folder;
  const auto model = mistral(folder, {{"add_bos_token", true}});
  const ExampleMaker maker(*model);
  const Example plain = maker.make(R"({"prompt":"Why?","completion":" Because."})");
  for (const char* number : {"NaN", "-Infinity", "1e400", "12345678901234567890123"}) {
    const std::string record = R"({"prompt":"Why?","completion":" Because.","id":)" + std::string(number) + "}";
    EXPECT_EQ(maker.make(record).ids, plain.ids) << record;
  }
  EXPECT_THROW(maker.make(R"({"prompt":"Why?","completion":NaN})"), base::Error);
}

// Where a template writes them they are Python's, or refused: what stands for them while a line is read is never
// trained on.
TEST(Records, NumbersThatATemplateWrites) {
  const TemporaryFolder folder;
  const auto model = mistral(folder, {{"eos_token", "</s>"},
                                      {"chat_template",
                                       "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
                                       "{{ c.function.arguments.x }}|{{ c.function.arguments | tojson }}{% endfor %}"
                                       "{{ eos_token }}{% endfor %}"}});
  const ExampleMaker maker(*model);
  const auto record = [](const std::string& number) {
    return R"({"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"","tool_calls":)"
           R"([{"type":"function","function":{"name":"f","arguments":{"x":)" +
           number + "}}}]}]}";
  };
  const std::map<std::string, std::string> written = {{"NaN", R"(nan|{"x": NaN})"},
                                                      {"-Infinity", R"(-inf|{"x": -Infinity})"},
                                                      {"1e400", R"(inf|{"x": Infinity})"},
                                                      {"0.10", R"(0.1|{"x": 0.1})"},
                                                      {"[1e-400,NaN]", R"([0.0, nan]|{"x": [0.0, NaN]})"}};
  for (const auto& [number, text] : written)
    EXPECT_THAT(model->decode(maker.make(record(number)).ids, true), HasSubstr(text)) << number;
  for (const std::string number : {"12345678901234567890123", "-9223372036854775809", "9223372036854775808"})
    EXPECT_THAT(model->decode(maker.make(record(number)).ids, true), HasSubstr(number + R"(|{"x": )" + number + "}"));
  // As flags and settings they are refused by name; as measurements and classes nobody reads them.
  finetune::RecordNotes classed;
  maker.make(R"({"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"x"}],"label":NaN})",
             &classed);
  EXPECT_THAT(classed.unused, ElementsAre("label"));
  EXPECT_NO_THROW(maker.make(R"({"prompt":"Why?","completion":" So.","loss":NaN})"));
  for (const char* number : {"NaN", "-Infinity", "1e400", "12345678901234567890123"})
    for (const std::string member : {"weight", "chat_template_kwargs"}) {
      const std::string line = R"({"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"x"}],")" +
                               member + "\":" + number + "}";
      EXPECT_THAT(error_of([&] { maker.make(line); }), HasSubstr(member)) << line;
    }
  EXPECT_THAT(error_of([&] { maker.make(R"({"prompt":"Why?","completion":NaN})"); }), HasSubstr("'NaN'"));
  const std::string deep = std::string(300000, '[') + std::string(300000, ']');
  EXPECT_THAT(error_of([&] { maker.make(record(deep)); }), HasSubstr("in each other"));
}

// ids and mask of TRL's SFTTrainer. It reads special tokens in the text, as --allow-special does; where the text begins
// with BOS it has two of them, and " x" keeps its blank only with sentencepiece itself.
TEST(Records, PromptAndCompletionEqualTrl) {
  const TemporaryFolder folder;
  const auto model = mistral(folder, {{"add_bos_token", true}});
  const ExampleMaker maker(*model), special(*model, {.allow_special = true, .roles = {}});
  std::size_t compared = 0;
  const json records = golden("trl")["records"];
  for (const json& record : records) {
    const auto prompt = record["prompt"].get<std::string>(), completion = record["completion"].get<std::string>();
    auto ids = record["ids"].get<std::vector<std::int32_t>>();
    auto trained = record["trained"].get<std::vector<std::uint8_t>>();
    if (prompt.starts_with(' ')) continue;
    if (prompt.starts_with("<s>")) {
      ids.erase(ids.begin());
      trained.erase(trained.begin());
    }
    const json line = {{"prompt", prompt}, {"completion", completion}};
    const Example example = special.make(line.dump());
    EXPECT_EQ(example.ids, ids) << line;
    EXPECT_EQ(example.trained, trained) << line;
    if ((prompt + completion).find("s>") == std::string::npos) {
      EXPECT_EQ(maker.make(line.dump()).ids, ids) << line;
    }
    ++compared;
  }
  EXPECT_EQ(compared, 14u);
  const Example issue = maker.make(R"({"prompt":"Question: hello\nAnswer:","completion":" yes"})");
  EXPECT_EQ(issue.ids.size(), 11u);
  EXPECT_THAT(issue.trained, ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1));
}

TEST(Records, RenderedTextNeedsAllowSpecial) {
  ByteTokenizer tokenizer;
  tokenizer.bos = 256;
  tokenizer.add_bos = true;
  const ExampleMaker plain(tokenizer), special(tokenizer, {.allow_special = true, .roles = {}});
  const char* record = R"({"prompt":"<|im_start|>user<|im_end|>","completion":"A<|im_end|>"})";
  const Example example = special.make(record);
  EXPECT_THAT(example.ids, ElementsAre(256, 'u', 's', 'e', 'r', 257, 'A', 257, 258)) << "BOS is there already";
  EXPECT_EQ(trained_text(tokenizer, example), "A<|im_end|><|endoftext|>");
  EXPECT_EQ(special.make(R"({"text":"T<|endoftext|>"})").ids, (std::vector<std::int32_t>{256, 'T', 258}))
      << "and so is the end";
  EXPECT_GT(plain.make(record).ids.size(), 30u);

  const TemporaryFolder folder;
  const std::string file = folder.write("a.jsonl", std::string(record) +
                                                       "\n{\"text\":\"plain\"}\n{\"text\":\"<|im_end|><|im_end|>\"}\n"
                                                       "{\"messages\":[{\"role\":\"user\",\"content\":\"<|im_end|>\"},{"
                                                       "\"role\":\"assistant\",\"content\":\"A\"}]}\n");
  const finetune::DataOptions options;
  const auto report = finetune::read_dataset({file}, plain, options).report;
  EXPECT_EQ(report.specials_as_text, 3u);
  EXPECT_THAT(report.to_text(options), HasSubstr("3 of the used records write special tokens as text"));
  EXPECT_THAT(report.to_text(options), HasSubstr("--allow-special"));
  EXPECT_EQ(finetune::read_dataset({file}, special, options).report.specials_as_text, 1u) << "a chat's are always text";
  const ByteTokenizer no_chat(false);
  EXPECT_THAT(error_of([&] {
                ExampleMaker(no_chat).make(
                    R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]})");
              }),
              HasSubstr("--allow-special"));
}

TEST(Records, FlagsKeepMessagesOutOfTheLoss) {
  const ByteTokenizer tokenizer;
  const ExampleMaker maker(tokenizer);
  const auto trained = [&](const std::string& first, const std::string& second) {
    return trained_text(
        tokenizer,
        maker.make(R"({"messages":[{"role":"user","content":"Q")" + second + R"(},{"role":"assistant","content":"A")" +
                   first + R"(},{"role":"user","content":"R"},{"role":"assistant","content":"B"}]})"));
  };
  const std::string both = "A<|im_end|>B<|im_end|>", last = "B<|im_end|>";
  EXPECT_EQ(trained("", ""), both);
  for (const char* flag : {R"("weight":0)", R"("weight":0.0)", R"("train":false)", R"("training":false)",
                           R"("loss":false)", R"("train":0)", R"("trainable":false)", R"("weight":0,"train":true)"})
    EXPECT_EQ(trained(std::string(",") + flag, ""), last) << flag;
  EXPECT_EQ(trained(R"(,"weight":1,"train":true,"name":null)", R"(,"weight":1)"), both);
  for (const char* flag : {R"(,"train":true)", R"(,"train":1)", R"(,"loss":1.0)"})
    EXPECT_EQ(trained("", flag), "Q<|im_end|>" + both) << "axolotl's flag trains any message";
  const ExampleMaker of_last(tokenizer, {.roles = {}, .train_on = {"last"}});
  for (const char* flag : {R"("train":1)", R"("train":true)", R"("weight":1)", R"("weight":1,"train":true)"})
    EXPECT_EQ(trained_text(tokenizer,
                           of_last.make(R"({"messages":[{"role":"user","content":"Q","weight":1},)"
                                        R"({"role":"assistant","content":"A",)" +
                                        std::string(flag) +
                                        R"(},{"role":"user","content":"R"},{"role":"assistant","content":"B"}]})")),
              both)
        << flag << " decides, and a weight of 1 is of answers only";
  const auto text = [&](const char* record) { return trained_text(tokenizer, maker.make(record)); };
  EXPECT_EQ(text(R"({"conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"A","weight":0},
                    {"from":"human","value":"R"},{"from":"gpt","value":"B"}]})"),
            last);
  EXPECT_EQ(
      text(
          R"({"prompt":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"},{"role":"user","content":"R"}],
                    "completion":[{"role":"assistant","content":"B"}]})"),
      last)
      << "answers in a prompt are context";
  EXPECT_THAT(error_of([&] { trained(R"(,"weight":0.5)", ""); }), HasSubstr("weight"));
  EXPECT_THAT(error_of([&] { trained(R"(,"weight":"heavy")", ""); }), HasSubstr("weight"));
  EXPECT_THAT(error_of([&] { trained(R"(,"train_detail":[{}])", ""); }), HasSubstr("train_detail"));
}

TEST(Records, WhatTrainingWouldLoseIsRefusedByName) {
  const ByteTokenizer tokenizer;
  const ExampleMaker maker(tokenizer);
  const std::string chat = R"("messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}])";
  const auto error = [&](const std::string& record) { return error_of([&] { maker.make(record); }); };
  for (const char* member :
       {R"("tools":[{"type":"function"}])", R"("functions":"[1]")", R"("label":false)", R"("label":"True")",
        R"("label":1)", R"("kto_tag":true)", R"("rejected":"x")", R"("chat_template_kwargs":{"a":1})",
        R"("images":["a.png"])", R"("weight":0.5)", R"("train":false)"}) {
    const std::string name = json::parse(std::string("{").append(member).append("}")).items().begin().key();
    EXPECT_THAT(error("{" + chat + "," + member + "}"), HasSubstr(name)) << member;
  }
  for (const char* member : {R"("tools":[])", R"("tools":"[]")", R"("label":"sports")", R"("label":7)", R"("id":1)",
                             R"("images":[])", R"("weight":1)", R"("meta":{"tools":1})"})
    EXPECT_EQ(error("{" + chat + "," + member + "}"), "no error") << member;
  EXPECT_THAT(error(R"({"prompt":"P","completion":"C","label":false})"), HasSubstr("label"));
  EXPECT_THAT(error(R"({"prompt":"P","chosen":"C","rejected":"D"})"), HasSubstr("rejected"));
  EXPECT_EQ(error(R"({"text":"T","label":1,"weight":70})"), "no error");
  for (const char* member :
       {R"("reasoning_content":"hm")", R"("tool_calls":[{"function":{"name":"f"}}])", R"("audio":{"id":1})"})
    EXPECT_THAT(error(R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A",)" +
                      std::string(member) + "}]}"),
                HasSubstr(json::parse(std::string("{").append(member).append("}")).items().begin().key()));
  // The template writes such a turn under its role, as it would in transformers.
  EXPECT_EQ(error(R"({"messages":[{"role":"user","content":"Q"},{"role":"tool","content":"42","tool_call_id":"1"}]})"),
            "no error");
  EXPECT_THAT(error(R"({"messages":[{"role":"king","content":"Q"}]})"), HasSubstr("--roles"));
  const ExampleMaker named(tokenizer, {.allow_special = false, .roles = {"king=user", "bot=assistant"}});
  EXPECT_EQ(trained_text(tokenizer,
                         named.make(R"({"messages":[{"role":"king","content":"Q"},{"role":"bot","content":"A"}]})")),
            "A<|im_end|>");
}

TEST(Records, TheReportNamesWhatWasRefusedAndLeftOut) {
  const ByteTokenizer tokenizer;
  const TemporaryFolder folder;
  const std::string file = folder.write(
      "a.jsonl",
      R"({"prompt":"P","completion":"C","label":true})"
      "\n"
      R"({"prompt":"P","completion":"C","label":false})"
      "\n"
      R"({"prompt":"P","completion":"C","tools":[1]})"
      "\n"
      R"({"prompt":"P","completion":"C","id":1,"source":"s","context":"lost","weight":1})"
      "\n"
      R"({"messages":[{"role":"user","content":"Q","name":"Ann"},{"role":"assistant","content":"A","date":3,"name":"Bob"}]})"
      "\n");
  finetune::DataOptions options;
  const auto dataset = finetune::read_dataset({file}, ExampleMaker(tokenizer), options);
  EXPECT_EQ(dataset.report.bad, 3u);
  EXPECT_EQ(dataset.report.used, 2u);
  EXPECT_EQ(dataset.report.ends, 2u);
  const std::string text = dataset.report.to_text(options);
  EXPECT_THAT(text, HasSubstr("label: only answers are learned and measured here (2)"));
  EXPECT_THAT(text, HasSubstr("tools: a prompt and its completion are one text, in which this has no place (1)"));
  EXPECT_THAT(text, HasSubstr("date (1), name (1)"));
  EXPECT_EQ(dataset.report.partly, 1u);
  EXPECT_EQ(dataset.report.altered.back().why, "not written: date, name");
  EXPECT_EQ(dataset.report.altered.back().origin.line, 5u);
  EXPECT_THAT(text, HasSubstr("members of records that nothing here reads: context (1)"));
  EXPECT_THAT(text, Not(HasSubstr("no end token")));
  options.max_bad = {2};
  EXPECT_THAT(error_of([&] { finetune::read_dataset({file}, ExampleMaker(tokenizer), options); }),
              HasSubstr("label: only answers are learned and measured here (2)"));
}

TEST(Records, NoTrainedEndIsSaid) {
  ByteTokenizer tokenizer(false);
  const TemporaryFolder folder;
  const std::string file = folder.write("a.jsonl", "{\"text\":\"some text\"}\n");
  finetune::DataOptions options;
  const auto said = [&] {
    return finetune::read_dataset({file}, ExampleMaker(tokenizer), options).report.to_text(options);
  };
  EXPECT_THAT(said(), Not(HasSubstr("no end token")));
  tokenizer.eos.reset();
  EXPECT_THAT(said(), HasSubstr("no end token is trained"));
  tokenizer.eos = 258;
  options.max_length = 4;
  EXPECT_THAT(said(), HasSubstr("no end token is trained")) << "cut before it";
  options.too_long = "split";
  EXPECT_THAT(said(), Not(HasSubstr("no end token")));
}

// A model that names an end of turns beside, or instead of, EOS.
TEST(Records, EveryEndTokenThatTheModelNamesIsAnEnd) {
  ByteTokenizer tokenizer(false);
  tokenizer.other_ends = {257};
  const TemporaryFolder folder;
  const std::string file = folder.write("a.jsonl", R"({"prompt":"P","completion":"A<|im_end|>"})");
  finetune::DataOptions options;
  options.max_length = 3;  // EOS is cut off
  const auto ends = [&] {
    return finetune::read_dataset({file}, ExampleMaker(tokenizer, {.allow_special = true, .roles = {}}), options)
        .report.ends;
  };
  EXPECT_EQ(ends(), 1u);
  tokenizer.other_ends.clear();
  EXPECT_EQ(ends(), 0u);
  tokenizer.other_ends = {257};
  tokenizer.eos.reset();
  EXPECT_EQ(ExampleMaker(tokenizer).make(R"({"text":"a"})").ids, (std::vector<std::int32_t>{'a', 257}));
}

TEST(Records, MembersOfTheRecordThatAreSaidAreRefused) {
  const ByteTokenizer tokenizer;
  const ExampleMaker maker(tokenizer);
  for (const char* member : {R"("reasoning_content":"hm")", R"("tool_calls":[{}])", R"("images":["a.png"])",
                             R"("train_detail":[{}])", R"("train":false)", R"("label":0)"})
    EXPECT_THROW(maker.make(R"({"prompt":"P","completion":"C",)" + std::string(member) + "}"), base::Error) << member;
  const std::string chat = R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A",)";
  for (const char* member : {R"("reasoning_content":"hm")", R"("tools":[{}])", R"("documents":["a"])"})
    EXPECT_THROW(maker.make(chat + member + "}]}"), base::Error) << member;
  for (const char* member : {R"("tool_calls":[])", R"("reasoning_content":"")", R"("name":"Ann")"})
    EXPECT_EQ(trained_text(tokenizer, maker.make(chat + member + "}]}")), "A<|im_end|>") << member;
  for (const char* flag : {R"("weight":0)", R"("train":false)", R"("training":false)"})
    EXPECT_THROW(maker.make(R"({"text":"T",)" + std::string(flag) + "}"), base::Error) << flag;
  EXPECT_EQ(trained_text(tokenizer, maker.make(R"({"text":"T","weight":1,"label":0})")), "T<|endoftext|>");
  EXPECT_EQ(trained_text(tokenizer, maker.make(R"({"prompt":"P","completion":"C","label":"sports","loss":0.3})")),
            "C<|endoftext|>");
}

TEST(Records, AlpacaIsJoinedAsEverywhere) {
  const ByteTokenizer tokenizer;
  const ExampleMaker maker(tokenizer);
  const auto text = [&](const char* record) { return tokenizer.decode(maker.make(record).ids, false); };
  EXPECT_EQ(text(R"({"instruction":"I","input":"<noinput>","output":"A"})"),
            text(R"({"instruction":"I","output":"A"})"));
  EXPECT_EQ(text(R"({"instruction":"I","input":" ","output":"A"})"), text(R"({"instruction":"I","output":"A"})"));
  for (const std::string input : {"None", "nan", "n/a", "No input"})
    EXPECT_THAT(text((R"({"instruction":"I","input":")" + input + R"(","output":"A"})").c_str()),
                HasSubstr("I\n" + input + "<|im_end|>"));
  EXPECT_EQ(text(R"({"instruction":"I","input":"X","output":"A","history":[["q","a"]]})"),
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
            "<|im_start|>user\nI\nX<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n");
  EXPECT_EQ(text(R"({"system":"S","conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]})"),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n");
  EXPECT_THAT(error_of([&] { text(R"({"instruction":"I","input":5,"output":"A"})"); }), HasSubstr("input"));
}

// A cell of a table is a text: flags and verdicts in it are heard as those of JSON are.
TEST(Records, FlagsInTablesAreThoseOfJson) {
  const ByteTokenizer tokenizer;
  const TemporaryFolder folder;
  const auto report_of = [&](const std::string& csv, finetune::Wanted wanted = finetune::Wanted::kAnswers) {
    finetune::MakerOptions making;
    making.wanted = wanted;
    return finetune::read_dataset({folder.write("a.csv", csv)}, ExampleMaker(tokenizer, making), {}).report;
  };
  for (const std::string name : {"weight", "train"}) {
    const finetune::DataReport report = report_of("text," + name + "\nkept,1\nout,0\nsaid,true\nout,False\nblank,\n");
    EXPECT_EQ(report.used, 3u) << name;
    EXPECT_EQ(report.bad, 2u) << name;
    EXPECT_TRUE(report.unused.empty()) << name;
  }
  EXPECT_THAT(report_of("text,weight\nheavy,2.5\n").to_text({}), HasSubstr("nothing here reads: weight (1)"));
  const std::string chat = R"("[{""role"":""user"",""content"":""Q""},{""role"":""assistant"",""content"":""A""}]")";
  EXPECT_EQ(report_of("messages,train\n" + chat + ",1\n" + chat + ",0\n").used, 1u);
  EXPECT_EQ(report_of("prompt,completion,label\nP,C,1\nP,D,0\nP,E,yes\n", finetune::Wanted::kVerdicts).used, 2u);
}

TEST(Records, TrainOnAllTrainsThePromptOfATextToo) {
  const ByteTokenizer tokenizer;
  const ExampleMaker all(tokenizer, {.roles = {}, .train_on = {"all"}});
  EXPECT_EQ(trained_text(tokenizer, all.make(R"({"prompt":"PQ","completion":"C"})")), "PQC<|endoftext|>");
}

TEST(Records, TrainOnAllTrainsTheAnswersInAPromptToo) {
  const ByteTokenizer tokenizer;
  const char* record = R"({"prompt":[{"role":"user","content":"P"},{"role":"assistant","content":"Q"},)"
                       R"({"role":"user","content":"R"}],"completion":[{"role":"assistant","content":"C"}]})";
  const auto trained = [&](const std::string& on) {
    return trained_text(tokenizer, ExampleMaker(tokenizer, {.roles = {}, .train_on = {on}}).make(record));
  };
  EXPECT_THAT(trained("all"), HasSubstr("assistant\nQ<|im_end|>\n<|im_start|>user\nR<|im_end|>"));
  EXPECT_EQ(trained("assistant"), "C<|im_end|>");
  EXPECT_EQ(trained("last"), "C<|im_end|>");
}

// A table has a cell for every column: an empty one says nothing of what its record is.
TEST(Records, EmptyCellsAreNothing) {
  const ByteTokenizer tokenizer;
  const ExampleMaker maker(tokenizer);
  const auto text = [&](const char* record) { return tokenizer.decode(maker.make(record).ids, false); };
  EXPECT_EQ(text(R"({"text":"hello","prompt":"","completion":""})"), text(R"({"text":"hello"})"));
  EXPECT_EQ(text(R"({"text":"","prompt":"P","completion":"C"})"), text(R"({"prompt":"P","completion":"C"})"));
  EXPECT_EQ(text(R"({"messages":" ","prompt":"P","completion":"C"})"), text(R"({"prompt":"P","completion":"C"})"));
  EXPECT_EQ(text(R"({"conversations":"","prompt":"","question":"P","answer":"C"})"),
            text(R"({"question":"P","answer":"C"})"));
  EXPECT_EQ(text(R"({"chosen":"","rejected":"","prompt":"P","completion":"C"})"),
            text(R"({"prompt":"P","completion":"C"})"));
  EXPECT_EQ(text(R"({"instruction":"I","input":"","output":"A","history":""})"),
            text(R"({"instruction":"I","output":"A"})"));
  EXPECT_EQ(text(R"({"instruction":"","input":"X","output":"A"})"), text(R"({"instruction":"X","output":"A"})"));
  EXPECT_THAT(error_of([&] { text(R"({"instruction":"I","output":"A","history":"x"})"); }), HasSubstr("question"));
  // All records of a data set with system messages are conversations, those with an empty one too.
  EXPECT_EQ(text(R"({"system":"","prompt":"P","completion":"C"})"),
            text(R"({"messages":[{"role":"user","content":"P"},{"role":"assistant","content":"C"}]})"));
}

// Folders say nothing to a training: it takes what stands in the records.
TEST(Records, FoldersGiveNoMembers) {
  const ByteTokenizer tokenizer;
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "system=Pirate");
  const std::string file = folder.write("system=Pirate/a.jsonl", R"({"prompt":"P","completion":"C"})");
  const auto dataset = finetune::read_dataset({file}, ExampleMaker(tokenizer), {});
  EXPECT_EQ(dataset.examples[0].ids.size(), 3u);
}

// What a template leaves out has a place, and so have special tokens read as text and keys that stand twice.
TEST(Records, WhatIsNotTrainedAsItCameIsNamed) {
  ByteTokenizer tokenizer;
  tokenizer.chat_template =
      "{% for message in messages %}{% if message.role != 'system' %}<|im_start|>{{ message.role + '\n' }}{{ "
      "message.content.split('</think>')[-1] | trim }}<|im_end|>\n{% endif %}{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const TemporaryFolder folder;
  const auto chat = [](const std::string& system, const std::string& answer) {
    return R"({"messages":[)" + system + R"({"role":"user","content":"Q"},{"role":"assistant","content":")" + answer +
           "\"}]}\n";
  };
  const std::string repeated = R"({"messages":"[{\"role\":\"user\",\"role\":\"user\",\"content\":\"Q\"},)"
                               R"({\"role\":\"assistant\",\"content\":\"A\"}]"})";
  const std::string file =
      folder.write("a.jsonl", chat("", " A ") + chat(R"({"role":"system","content":"S"},)", "A") +
                                  chat("", "<think>hm</think>A") + chat("", "<|im_end|>A") + repeated);
  const auto report = finetune::read_dataset({file}, ExampleMaker(tokenizer), {}).report;
  std::vector<std::string> named;
  for (const auto& [fate, origin, why] : report.altered)
    named.push_back(finetune::name_of(fate) + ":" + std::to_string(origin.line) + (why.empty() ? "" : " " + why));
  EXPECT_THAT(
      named, ElementsAre("written in part:2 a message is left out", "written in part:3 a part of a message is left out",
                         "special tokens as text:4", "a key twice:5"));
  EXPECT_EQ(report.cuts_messages, 1u);
  EXPECT_THAT(report.to_text({}),
              HasSubstr("of 1 of the used records the chat template leaves out a part of a message"));
}

// A whole last record that cannot be used is a bad one, and no sign that the file is cut off.
TEST(Records, AFileThatIsWholeIsNotLost) {
  const ByteTokenizer tokenizer;
  const TemporaryFolder folder;
  const std::string good = "{\"text\":\"a a\"}\n";
  const auto read = [&](const std::string& records, std::uint64_t limit = 0) {
    return finetune::read_dataset({folder.write("a.jsonl", records)}, ExampleMaker(tokenizer), {.limit = limit}).report;
  };
  EXPECT_EQ(read(good + good + "{\"foo\":1}").bad, 1u);
  EXPECT_EQ(read(good + "{\"foo\":1}\n" + good, 2).bad, 1u);
  EXPECT_EQ(read(good + "{\"foo\":\n" + good, 2).bad, 1u);
  EXPECT_THAT(error_of([&] { read(good + good + "{\"foo\":1"); }), HasSubstr("is cut off"));
}

// What generation will not meet, and answers that teach nothing but their end.
TEST(Records, TextsWithoutTheTemplateBordersAndEmptyAnswersAreCounted) {
  const ByteTokenizer chat, bare(false);
  const TemporaryFolder folder;
  const std::string file = folder.write("a.jsonl",
                                        R"({"prompt":"q","completion":"a"}
{"prompt":"q","completion":" "}
{"text":"t"}
{"text":""}
{"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":""}]}
{"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]}
{"instruction":"Q","output":"A"}
{"prompt":"q","completion":"a","loss":0.25}
{"text":"t","loss":false}
{"prompt":"q","completion":"a","loss":"False"}
{"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"","weight":0},{"role":"user","content":"R"},{"role":"assistant","content":"A"}]}
{"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"","weight":1}]}
{"prompt":"q","completion":null}
)");
  const auto report = finetune::read_dataset({file}, ExampleMaker(chat), {}).report;
  EXPECT_EQ(report.plain, 3u);
  EXPECT_EQ(report.empty, 3u);
  EXPECT_EQ(report.untrained, 1u) << "an empty text is an end without a beginning";
  EXPECT_EQ(report.crosses, 0u);
  EXPECT_EQ(report.bad, 3u) << "two flags of the whole record; no completion";
  EXPECT_THAT(report.bad_kinds, testing::Contains(testing::Key(HasSubstr("flag of the whole record"))));
  EXPECT_EQ(report.unused.at("loss"), 1u) << "a measurement";
  EXPECT_THAT(report.altered.back().why, HasSubstr("prompt, completion (null)"));
  const std::string lines = base::join(finetune::findings(report, chat, {}), "\n");
  EXPECT_THAT(lines, HasSubstr("without the chat template: 3 records"));
  EXPECT_THAT(lines, HasSubstr("an answer without words, of which no more than the end is learned: " + file + ":2"));
  const std::string turns = folder.write(
      "d.jsonl",
      R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":""},{"role":"user","content":"R"},{"role":"assistant","content":"A"}]})");
  finetune::MakerOptions last;
  last.train_on.train_on = "last";
  EXPECT_EQ(finetune::read_dataset({turns}, ExampleMaker(chat), {}).report.empty, 1u);
  EXPECT_EQ(finetune::read_dataset({turns}, ExampleMaker(chat, last), {}).report.empty, 0u);
  const std::string texts = folder.write("b.jsonl", R"({"prompt":"q","completion":"a"})");
  EXPECT_EQ(finetune::read_dataset({texts}, ExampleMaker(bare), {}).report.plain, 0u) << "there is no template";
  last.roles = {"bot=assistant"};
  const auto changes_nothing = [&](const std::string& file) {
    const auto said =
        finetune::findings(finetune::read_dataset({file}, ExampleMaker(chat, last), {}).report, chat, last);
    return std::ranges::count_if(said, [](const auto& line) { return line.find("changes nothing") != line.npos; });
  };
  EXPECT_EQ(changes_nothing(texts), 2) << "--train-on last, --roles";
  EXPECT_EQ(changes_nothing(turns), 0);

  const auto model = mistral(folder, {{"add_bos_token", true}});
  const std::string border = folder.write("c.jsonl", R"({"prompt":"say: th","completion":"e"})");
  const auto crossed = finetune::read_dataset({border}, ExampleMaker(*model), {}).report;
  EXPECT_EQ(crossed.crosses, 1u);
  EXPECT_THAT(base::join(finetune::findings(crossed, *model, {}), "\n"),
              HasSubstr("a token that holds the end of the prompt"));
}

// The first token of an example is never a target.
TEST(Records, AnswersThatBeginInTheFirstTokenAreCounted) {
  const TemporaryFolder folder;
  const auto model = mistral(folder, {{"add_bos_token", false}});
  const std::string file = folder.write("a.jsonl", R"({"prompt":"th","completion":"e"})");
  const auto report = finetune::read_dataset({file}, ExampleMaker(*model), {}).report;
  EXPECT_EQ(report.untrained_first, 1u);
  EXPECT_THAT(report.to_text({}), HasSubstr("in 1 of the used records the answer begins with the first token"));
}

}  // namespace
