#include "curate/instruct.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {
using nlohmann::json;

std::string read_text(const char* record, std::string* turns = nullptr) {
  Conversation conversation;
  std::string reason = read_conversation(json::parse(record), conversation);
  if (turns != nullptr) {
    turns->clear();
    for (const Message& message : conversation.messages)
      *turns += message.role.substr(0, 1) + ":" + message.content + "|";
  }
  return reason;
}

TEST(ReadConversation, Formats) {
  const std::vector<std::pair<const char*, const char*>> good = {
      {R"({"instruction":"Q","output":"A"})", "u:Q|a:A|"},
      {R"({"instruction":"Q","input":"I","output":"A"})", "u:Q\nI|a:A|"},
      {R"({"instruction":"Q","input":"<noinput>","output":"A"})", "u:Q|a:A|"},
      {R"({"instruction":"Q","input":"No input","output":"A"})", "u:Q|a:A|"},
      {R"({"instruction":"Q2","output":"A2","system":"S","history":[["Q1","A1"]]})", "s:S|u:Q1|a:A1|u:Q2|a:A2|"},
      {R"({"conversations":[{"from":"system","value":"S"},{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]})",
       "s:S|u:Q|a:A|"},
      {R"({"system":"S","conversations":[{"from":"user","value":"Q"},{"from":"assistant","value":"A"}]})",
       "s:S|u:Q|a:A|"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":"Q"},{"type":"text","text":"?"}]},{"role":"assistant","content":"A"}]})",
       "u:Q?|a:A|"},
      {R"({"prompt":"Q","completion":"A"})", "u:Q|a:A|"},
      {R"({"prompt":"Q","response":"A"})", "u:Q|a:A|"},
      {R"({"question":"Q","answer":"A","system":"S"})", "s:S|u:Q|a:A|"}};
  for (const auto& [record, expected] : good) {
    std::string turns;
    EXPECT_EQ(read_text(record, &turns), "") << record;
    EXPECT_EQ(turns, expected) << record;
  }
  const std::vector<std::pair<const char*, const char*>> bad = {
      {R"({"text":"T"})", "unknown_format"},
      {R"([1])", "unknown_format"},
      {R"({"messages":"x"})", "unknown_format"},
      {R"({"messages":[]})", "empty"},
      {R"({"messages":[{"role":"system","content":"S"}]})", "empty"},
      {R"({"messages":[{"role":"assistant","content":"A"}]})", "bad_roles"},
      {R"({"messages":[{"role":"user","content":"Q"},{"role":"user","content":"Q"}]})", "bad_roles"},
      {R"({"messages":[{"role":"king","content":"Q"}]})", "bad_roles"},
      {R"({"messages":[{"role":"user","content":"Q"}]})", "no_final_answer"},
      {R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":null}]})", "not_text"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]},{"role":"assistant","content":"A"}]})",
       "not_text"},
      {R"({"messages":[{"role":"user","content":[{"type":1,"text":"Q"}]},{"role":"assistant","content":"A"}]})",
       "not_text"},
      {R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"","tool_calls":[{}]}]})",
       "tool_use"},
      {R"({"conversations":[{"from":"human","value":"Q"},{"from":"function_call","value":"{}"}]})", "tool_use"},
      {R"({"instruction":"Q","output":7})", "not_text"},
      {R"({"prompt":"Q"})", "unknown_format"}};
  for (const auto& [record, expected] : bad) EXPECT_EQ(read_text(record), expected) << record;
}

TEST(JudgeConversation, CleaningRules) {
  InstructOptions options;
  options.max_characters = 200;
  options.max_turns = 1;
  options.min_answer = 2;
  auto judge = [&](const char* question, const std::string& answer) {
    return judge_conversation({{{"user", question}, {"assistant", answer}}, ""}, options);
  };
  EXPECT_EQ(judge("Q", "An answer."), "");
  EXPECT_EQ(judge(" \n", "An answer."), "empty_prompt");
  EXPECT_EQ(judge("Q", " "), "empty_answer");
  EXPECT_EQ(judge("Q", "x"), "short_answer");
  EXPECT_EQ(judge("Q", "N/A."), "no_answer");
  EXPECT_EQ(judge("Q", "nan"), "no_answer");
  EXPECT_EQ(judge("Q", "Sorry, as an AI language model I cannot."), "disclaimer");
  EXPECT_EQ(judge("Q", "Treat it as an aim, language and model."), "");
  EXPECT_EQ(judge("Say it.", "Say it."), "echo");
  EXPECT_EQ(judge("Q", "Blue.\n##\n18. Instruction: Name two."), "merged_instructions");
  EXPECT_EQ(judge("Describe the following image.", "A boat."), "unseen_picture");
  EXPECT_EQ(judge("Q", std::string(300, 'x')), "too_long");
  EXPECT_EQ(judge_conversation({{{"user", "a"}, {"assistant", "bb"}, {"user", "c"}, {"assistant", "dd"}}, ""}, options),
            "too_many_turns");
  options.clean = false;
  EXPECT_EQ(judge("Q", "N/A."), "");
}

TEST(Instruct, EveryRecordIsAccountedFor) {
  TemporaryFolder folder;
  std::string lines = "not json\n{\"prompt\":\"\\ud800\",\"completion\":\"x\"}\n";
  for (int i = 0; i < 1000; ++i)
    lines += json({{"prompt", "Question " + std::to_string(i % 900)},
                   {"completion", "Answer " + std::to_string(i)},
                   {"id", i}})
                 .dump() +
             "\n";
  const std::string input = folder.write("data.jsonl", lines);
  auto run = [&](const char* out, double share, const std::string& file) {
    InstructOptions options;
    options.reading.input = {file};
    options.output = folder / out;
    options.validation_share = share;
    std::ostringstream standard, err;
    base::Context context{standard, err, false, true, "", "curate"};
    EXPECT_EQ(run_instruct(options, context), 0);
    return json::parse(standard.str());
  };
  json report = run("a", 0.1, input);
  EXPECT_EQ(report["read"], 1002);
  EXPECT_EQ(report["dropped"], 102);
  EXPECT_EQ(report["reasons"]["duplicate_prompt"], 100);
  EXPECT_EQ(report["reasons"]["bad_json"], 2);
  EXPECT_EQ(report["train"].get<int>() + report["validation"].get<int>(), 900);
  EXPECT_NEAR(report["validation"].get<int>(), 90, 30);
  // What is validation stays validation in another order.
  std::istringstream validation(base::read_file(folder / "a/validation.jsonl"));
  std::string reversed, line;
  std::istringstream all(lines);
  while (std::getline(all, line)) reversed = line + "\n" + reversed;
  run("b", 0.1, folder.write("reversed.jsonl", reversed));
  const std::string again = base::read_file(folder / "b/validation.jsonl");
  while (std::getline(validation, line)) {
    std::string question = json::parse(line)["messages"][0]["content"];
    EXPECT_NE(again.find("\"" + question + "\""), std::string::npos) << question;
  }
  EXPECT_THROW(run("c", 1.0, input), base::UsageError);
}

// Arrays as deep as memory goes would overflow the stack when they are written again; a file's name may be no UTF-8.
TEST(Instruct, HostileRecordsAndNames) {
  TemporaryFolder folder;
  const std::string deep = std::string(300000, '[') + std::string(300000, ']');
  const std::string shallow = std::string(1000, '[') + std::string(1000, ']');
  InstructOptions options;
  options.reading.input = {folder.write(
      "name\xFF.jsonl", deep + "\n" + "{\"prompt\":\"Q1\",\"completion\":\"An answer.\",\"id\":" + deep + "}\n" +
                            "{\"prompt\":\"Q2\",\"completion\":\"An answer.\",\"id\":" + shallow + "}\n" + shallow +
                            "\n" + R"({"prompt":"Q3","completion":"An answer."})" + "\n")};
  options.output = folder / "out";
  std::ostringstream standard, err;
  base::Context context{standard, err, true, true, "", "curate"};
  EXPECT_EQ(run_instruct(options, context), 0);
  const json report = json::parse(standard.str());
  EXPECT_EQ(report["reasons"], json({{"bad_json", 2}, {"unknown_format", 1}}));
  EXPECT_EQ(report["train"], 2);
  std::istringstream train(base::read_file(folder / "out/train.jsonl"));
  std::string line;
  std::getline(train, line);
  EXPECT_EQ(json::parse(line)["id"].dump(), shallow);
  std::getline(train, line);
  EXPECT_EQ(json::parse(line)["id"], "name\uFFFD.jsonl:5");
}

}  // namespace
}  // namespace curate
