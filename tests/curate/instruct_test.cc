#include "curate/instruct.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {
using nlohmann::json;

std::string read_text(const char* record, std::string* turns = nullptr) {
  Conversation conversation;
  std::string reason = read_chat(json::parse(record), tokenizer::role_map({}), conversation);
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
      {R"({"instruction":"Q","input":"No input","output":"A"})", "u:Q\nNo input|a:A|"},
      {R"({"instruction":"Q2","output":"A2","system":"S","history":[["Q1","A1"]]})", "s:S|u:Q1|a:A1|u:Q2|a:A2|"},
      {R"({"conversations":[{"from":"system","value":"S"},{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]})",
       "s:S|u:Q|a:A|"},
      {R"({"system":"S","conversations":[{"from":"user","value":"Q"},{"from":"assistant","value":"A"}]})",
       "s:S|u:Q|a:A|"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":"Q"},{"type":"text","text":"?"}]},{"role":"assistant","content":"A"}]})",
       "u:Q?|a:A|"},
      {R"({"prompt":"Q","completion":"A"})", "u:Q|a:A|"},
      {R"({"prompt":"Q","response":"A"})", "u:Q|a:A|"},
      {R"({"question":"Q","answer":"A","system":"S"})", "s:S|u:Q|a:A|"},
      {R"({"instruction":"Q","context":"C","response":"A"})", "u:Q\nC|a:A|"},
      {R"({"conversations":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]})", "u:Q|a:A|"},
      {R"({"messages":[{"role":"developer","content":"S"},{"role":"user","content":"Q"},{"role":"ai","content":"A"}]})",
       "s:S|u:Q|a:A|"},
      {R"({"prompt":[{"role":"user","content":"Q"}],"completion":[{"role":"assistant","content":"A"}]})", "u:Q|a:A|"},
      {R"({"conversations":[{"from":"human","value":"Q"},{"from":"function_call","value":"{\"name\":\"f\"}"},
           {"from":"observation","value":"4"},{"from":"gpt","value":"A"}]})",
       "u:Q|a:|t:4|a:A|"},
      {R"({"prompt":{"role":"user","content":"Q"},"completion":{"role":"assistant","content":"A"}})", "u:Q|a:A|"},
      {R"({"prompt":"Q","chosen":"A","rejected":"B"})", "u:Q|a:A|"},
      {R"({"conversations":[{"from":"human","value":"Q"}],"chosen":{"from":"gpt","value":"A"},
           "rejected":{"from":"gpt","value":"B"}})",
       "u:Q|a:A|"}};
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
      {R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":null}]})", "not_text:content"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]},{"role":"assistant","content":"A"}]})",
       "not_text:content"},
      {R"({"messages":[{"role":"user","content":[{"type":1,"text":"Q"}]},{"role":"assistant","content":"A"}]})",
       "not_text:content"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":"Q","train":false}]}]})", "part:train"},
      {R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"","tool_calls":[{}]}]})", ""},
      {R"({"messages":[{"role":"user","content":"Q"},{"role":"tool","content":"4"},{"role":"assistant","content":"A"}]})",
       "bad_roles"},
      {R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A","weight":"x"}]})",
       "bad_flag:weight"},
      {R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"Q"}],"system":"T"})",
       "two_systems:system"},
      {R"({"conversations":[{"from":"human","value":"Q"},{"from":"function_call","value":"{}"}]})", "not_a_call:value"},
      {R"({"instruction":"Q","output":7})", "not_text:output"},
      {R"({"instruction":"Q","input":7,"output":"A"})", "not_text:input"},
      {R"({"instruction":"Q","output":["A","B"]})", "not_text:output"},
      {R"({"instruction":"Q","output":"A","history":[["q"]]})", "not_text:history"},
      {R"({"instruction":"Q","output":"A","system":{"a":1}})", "not_text:system"},
      {R"({"prompt":"Q","chosen":"A","rejected":false})", "not_text:rejected"},
      {R"({"prompt":"2+2=","chosen":4,"rejected":5})", "not_text:chosen"},
      {R"({"prompt":"Q","chosen":true,"rejected":false})", "not_text:chosen"},
      {R"({"prompt":"Z","chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}],
           "rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"B"}]})",
       "two_prompts:prompt"},
      {R"({"chosen":"A","rejected":"B"})", "unknown_format:prompt"},
      {R"({"prompt":[],"completion":"A"})", "not_text:prompt"},
      {R"({"prompt":"Q"})", "unknown_format"}};
  for (const auto& [record, expected] : bad) EXPECT_EQ(read_text(record), expected) << record;
}

TEST(JudgeConversation, CleaningRules) {
  InstructOptions options;
  options.max_characters = 200;
  options.max_turns = 1;
  options.min_answer = 2;
  auto judge = [&](const char* question, const std::string& answer) {
    return judge_conversation({"", {{"user", question}, {"assistant", answer}}}, options);
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
  EXPECT_EQ(judge_conversation({"", {{"user", "Q"}, {"assistant", "N/A", false}}}, options), "")
      << "not trained anyway";
  EXPECT_EQ(judge_conversation({"", {{"user", "a"}, {"assistant", "bb"}, {"user", "c"}, {"assistant", "dd"}}}, options),
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
  curate::InstructOptions whole;
  base::OptionSet set(whole);
  EXPECT_THROW(set.read_words({"--validation-share", "1"}), base::UsageError);
}

// The output of instruct for `lines`, and its report.
std::vector<json> train_records(const std::string& lines, json* report = nullptr, std::vector<std::string> roles = {}) {
  TemporaryFolder folder;
  InstructOptions options;
  options.reading.input = {folder.write("data.jsonl", lines)};
  options.output = folder / "out";
  options.roles = std::move(roles);
  std::ostringstream standard, err;
  base::Context context{standard, err, true, true, "", "curate"};
  const int status = run_instruct(options, context);
  const json told = json::parse(standard.str());
  EXPECT_EQ(status, told["losses"].empty() ? 0 : 1);  // a file of which no record can be used
  if (report != nullptr) *report = told;
  std::istringstream train(base::read_file(folder / "out/train.jsonl"));
  std::vector<json> records;
  for (std::string line; std::getline(train, line);) records.push_back(json::parse(line));
  return records;
}

// What a record says beside its texts is in the output, or the record is dropped with the member's name.
TEST(Instruct, MembersWithMeaningAreCarried) {
  const std::string chat = R"("messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"An answer.")";
  for (const char* member : {R"("weight":0)", R"("weight":0.5)", R"("train":false)", R"("training":false)",
                             R"("reasoning_content":"hm")", R"("name":"bot")", R"("anything":[1,{"a":null}])"}) {
    const auto records = train_records("{" + chat + "," + member + "}]}\n");
    ASSERT_EQ(records.size(), 1u) << member;
    json expected = json::parse("{" + std::string(member) + "}");
    const json& message = records[0]["messages"][1];
    for (const auto& [name, value] : expected.items()) EXPECT_EQ(message[name], value) << member;
  }
  for (const char* member : {R"("tools":[{"type":"function"}])", R"("label":false)", R"("kto_tag":true)",
                             R"("meta":{"a":[1,2]})", R"("chat_template_kwargs":{"a":1})", R"("chosen":"x")"}) {
    const auto records = train_records("{" + chat + "}]," + member + "}\n");
    ASSERT_EQ(records.size(), 1u) << member;
    json expected = json::parse("{" + std::string(member) + "}");
    for (const auto& [name, value] : expected.items()) EXPECT_EQ(records[0][name], value) << member;
  }
  const auto sharegpt = train_records(
      R"({"conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"An answer.","weight":0}],"tools":"[]"})"
      "\n");
  EXPECT_EQ(sharegpt[0]["messages"][1]["weight"], 0);
  EXPECT_EQ(sharegpt[0]["tools"], "[]");
  const auto kto = train_records(R"({"prompt":"Q","completion":"An answer.","label":false})"
                                 "\n");
  EXPECT_EQ(kto[0]["label"], false);
  const auto prompt = train_records(
      R"({"prompt":[{"role":"user","content":"Q"},{"role":"assistant","content":"N/A"},{"role":"user","content":"R"}],)"
      R"("completion":[{"role":"assistant","content":"An answer."}]})"
      "\n");
  ASSERT_EQ(prompt.size(), 1u);
  EXPECT_EQ(prompt[0]["messages"][1]["train"], false) << "an answer of the prompt is no target";
  EXPECT_FALSE(prompt[0]["messages"][3].contains("train"));
}

TEST(Instruct, PreferencesStayPreferences) {
  const auto records =
      train_records(R"({"prompt":"Q","chosen":"Good.","rejected":"Bad.","margin":0.5,"system":"S"})"
                    "\n"
                    R"({"chosen":[{"role":"user","content":"R"},{"role":"assistant","content":"Good."}],)"
                    R"("rejected":[{"role":"user","content":"R"},{"role":"assistant","content":"Bad."}]})"
                    "\n"
                    R"({"instruction":"I","input":"X","chosen":"Good.","rejected":"Bad."})"
                    "\n"
                    R"({"prompt":"Q","chosen":"Good.","rejected":"Worse.","system":"S"})"
                    "\n");
  ASSERT_EQ(records.size(), 4u) << "another rejected answer is another record";
  EXPECT_EQ(records[0]["prompt"].dump(), R"([{"content":"S","role":"system"},{"content":"Q","role":"user"}])");
  EXPECT_EQ(records[0]["chosen"].dump(), R"([{"content":"Good.","role":"assistant"}])");
  EXPECT_EQ(records[0]["rejected"].dump(), R"([{"content":"Bad.","role":"assistant"}])");
  EXPECT_EQ(records[0]["margin"], 0.5);
  EXPECT_EQ(records[1]["prompt"][0]["content"], "R");
  EXPECT_EQ(records[1]["rejected"][0]["content"], "Bad.");
  EXPECT_EQ(records[2]["prompt"][0]["content"], "I\nX");
}

// A duplicate has the same turns before its last trained answer, not just the same first one.
TEST(Instruct, DuplicatesAreJudgedOnAllTurns) {
  const auto chat = [](const std::vector<std::string>& turns, const std::string& last = "") {
    std::string line = R"({"messages":[)";
    for (std::size_t i = 0; i < turns.size(); ++i)
      line += std::string(i ? "," : "") + R"({"role":")" + (i % 2 ? "assistant" : "user") + R"(","content":")" +
              turns[i] + "\"" + (i + 1 == turns.size() ? last : "") + "}";
    return line + "]}\n";
  };
  json report;
  train_records(chat({"Hi", "Hello!", "Weather?", "Sunny."}) + chat({"Hi", "Hello!", "Time?", "Noon."}) +
                    chat({"Hi", "Hello there.", "Time?", "Noon."}) + chat({"hi ", "Hello!", "time?", "One o'clock."}),
                &report);
  EXPECT_EQ(report["train"], 3);
  EXPECT_EQ(report["reasons"]["duplicate_prompt"], 1);
  // Turns after the last trained answer do not make another record.
  train_records(chat({"Hi", "Hello!"}) + chat({"Hi", "Hello!", "Bye", "Bye."}, R"(,"weight":0)"), &report);
  EXPECT_EQ(report["train"], 1);
  // The same answer judged twice, and two answers of one prompt, are no duplicates for KTO.
  train_records(R"({"prompt":"P","completion":"Good.","label":true})"
                "\n"
                R"({"prompt":"P","completion":"Bad.","label":false})"
                "\n"
                R"({"prompt":"P","completion":"Bad.","label":false})"
                "\n",
                &report);
  EXPECT_EQ(report["train"], 2);
}

// What a model is shown beside the turns makes another question; what it is not shown does not.
TEST(Instruct, DuplicatesAreShownTheSame) {
  const auto chat = [](const std::string& members, const std::string& content = "What is in it?") {
    return R"({"messages":[{"role":"user","content":")" + content + R"("},{"role":"assistant","content":"A."}])" +
           members + "}\n";
  };
  for (const char* member : {"tools", "documents", "images", "videos", "audios", "chat_template_kwargs"}) {
    json report;
    const std::string name = std::string(",\"") + member + "\":";
    train_records(chat("") + chat(name + R"([{"name":"a"}])") + chat(name + R"([{"name":"b"}])"), &report);
    EXPECT_EQ(report["train"], 3) << member;
    train_records(chat(name + R"([{"name":"a"}])") + chat(name + R"([ {"name": "a"} ],"note":1)"), &report);
    EXPECT_EQ(report["reasons"]["duplicate_prompt"], 1) << member;
  }
}

// One question stands in training or in validation, whatever system message, documents, case or blanks go with it.
TEST(Instruct, OneQuestionIsNotOnBothSides) {
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    const std::string number = std::to_string(i), question = "What is number " + number + "?";
    const auto message = [](const char* role, const std::string& content) {
      return json{{"role", role}, {"content", content}};
    };
    const json answer = message("assistant", "It is " + number + ".");
    for (const json& messages :
         {json::array({message("user", question), answer}),
          json::array({message("system", "Be brief."), message("user", question), answer}),
          json::array({message("system", "Be kind."), message("user", " what IS number\n" + number + "?\n"), answer})})
      lines += json{{"messages", messages}, {"number", i}}.dump() + "\n";
  }
  InstructOptions options;
  options.reading.input = {folder.write("data.jsonl", lines)};
  options.output = folder / "out";
  options.validation_share = 0.5;
  std::ostringstream standard, err;
  base::Context context{standard, err, true, false, "", "curate"};
  EXPECT_EQ(run_instruct(options, context), 0);
  std::set<int> sides[2];
  for (const int side : {0, 1}) {
    std::istringstream file(base::read_file(folder / (side ? "out/validation.jsonl" : "out/train.jsonl")));
    for (std::string line; std::getline(file, line);) sides[side].insert(json::parse(line)["number"].get<int>());
  }
  EXPECT_EQ(sides[0].size() + sides[1].size(), 200u);
  EXPECT_NEAR(static_cast<double>(sides[1].size()), 100, 40);
}

// What the data have under the key that reasons go to is not lost.
TEST(Instruct, AHornbookThatIsNoObjectIsCarried) {
  TemporaryFolder folder;
  InstructOptions options;
  options.reading.input = {folder.write("data.jsonl", R"({"prompt":"P","completion":"A.","hornbook":"mine"})"
                                                      "\n"
                                                      R"({"prompt":"P","completion":"B.","hornbook":"mine too"})"
                                                      "\n")};
  options.output = folder / "out";
  std::ostringstream standard, err;
  base::Context context{standard, err, true, false, "", "curate"};
  EXPECT_EQ(run_instruct(options, context), 0);
  EXPECT_EQ(json::parse(base::read_file(folder / "out/train.jsonl"))["hornbook"], "mine");
  const json dropped = json::parse(base::read_file(folder / "out/dropped.jsonl"));
  EXPECT_EQ(dropped["record"]["hornbook"], "mine too");
  EXPECT_EQ(dropped["hornbook"]["reason"], "duplicate_prompt");
}

TEST(Instruct, RolesByName) {
  json report;
  const std::string line = R"({"messages":[{"role":"Kunde","content":"Q"},{"role":"bot","content":"An answer."}]})"
                           "\n";
  train_records(line, &report);
  EXPECT_EQ(report["reasons"]["bad_roles"], 1);
  const auto records = train_records(line, &report, {"Kunde=user,bot=assistant"});
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0]["messages"][1]["role"], "assistant");
  EXPECT_THROW(train_records(line, nullptr, {"bot=robot"}), base::UsageError);
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

TEST(Instruct, NumbersStandAsTheyCameAndKeysOnce) {
  TemporaryFolder folder;
  InstructOptions options;
  options.reading.input = {folder.write(
      "in.jsonl",
      R"({"messages":[{"role":"user","content":"Who?"},{"role":"assistant","content":"It is me.","ref":12345678901234567890123,"p":NaN}],"id":98765432109876543210987,"n":{"x":1e400}})"
      "\n"
      R"({"prompt":"first","prompt":"Why?","completion":"Because.","m":{"a":1,"a":2}})"
      "\n")};
  options.output = folder / "out";
  std::ostringstream standard, err;
  base::Context context{standard, err, false, true, "", "curate"};
  EXPECT_EQ(run_instruct(options, context), 0);
  const std::string train = base::read_file(folder / "out/train.jsonl");
  for (const char* part : {R"("ref":12345678901234567890123)", R"("p":NaN)", R"("id":98765432109876543210987)",
                           R"("n":{"x":1e400})", R"("content":"Why?")", R"("m":{"a":2})"})
    EXPECT_NE(train.find(part), std::string::npos) << part << "\n" << train;
  EXPECT_EQ(json::parse(standard.str())["repeated_keys"], 1);
  EXPECT_EQ(json::parse(standard.str())["non_finite"], 1);
  for (const char* part : {"1 record had a key twice", "1 record held NaN or Infinity: kept"})
    EXPECT_NE(err.str().find(part), std::string::npos) << err.str();
}

std::string trained(const std::string& lines, const std::string& nan, json* report = nullptr) {
  TemporaryFolder folder;
  InstructOptions options;
  options.reading.input = {folder.write("in.jsonl", lines)};
  options.output = folder / "out";
  options.nan = nan;
  std::ostringstream standard, err;
  base::Context context{standard, err, true, true, "", "curate"};
  EXPECT_EQ(run_instruct(options, context), 0);
  if (report != nullptr) *report = json::parse(standard.str());
  return base::read_file(folder / "out/train.jsonl");
}

TEST(Instruct, NumbersKeepTheirOwnTextAtAnyDepth) {
  const std::string answer = R"({"role":"assistant","content":"It is me.",)";
  const std::string question = R"({"messages":[{"role":"user","content":"Who?"},)";
  for (const char* number : {"0.12345678901234567890123", "3.14159265358979323846264338", "1.50", "1E5", "-2.5e-3",
                             "1.00000000000000000000001", "12345678901234567890.5", "0.1", "7"}) {
    const std::string member = R"("p":{"a":[)" + std::string(number) + R"(,")" + number + R"("]})";
    const std::string out = trained(question + answer + member + "}]}\n", "keep");
    EXPECT_NE(out.find(member), std::string::npos) << out;
    const std::string call = R"({"name":"f","arguments":{"x":)" + std::string(number) + "}}";
    const std::string calling = trained(json({{"conversations",
                                               {{{"from", "human"}, {"value", "Q"}},
                                                {{"from", "function_call"}, {"value", "\n" + call + "\n"}},
                                                {{"from", "observation"}, {"value", "4"}},
                                                {{"from", "gpt"}, {"value", "An answer."}}}}})
                                                .dump() +
                                            "\n",
                                        "keep");
    EXPECT_NE(calling.find(R"("tool_calls":[{"type":"function","function":)" + call + "}]"), std::string::npos)
        << calling;
  }
  // Zero is read as such however it is written.
  json report;
  EXPECT_NE(trained(question + answer + "\"weight\":0.00},{\"role\":\"user\",\"content\":\"And?\"}," + answer +
                        "\"weight\":1.0}]}\n",
                    "keep", &report)
                .find("\"weight\":0.0"),
            std::string::npos);
  // Calls that differ in such a number are two questions.
  std::string two;
  for (const char* number : {"1e400", "2e400"})
    two += R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"","tool_calls":[)" +
           std::string(number) + R"(]},{"role":"tool","content":"4"},{"role":"assistant","content":"An answer."}]})" +
           "\n";
  trained(two, "keep", &report);
  EXPECT_EQ(report["train"], 2) << report;
}

TEST(Instruct, NotANumberIsNullOnRequest) {
  const std::string line =
      R"({"messages":[{"role":"user","content":"Who?"},{"role":"assistant","content":"It is me.","p":NaN}],"q":[-Infinity]})"
      "\n";
  json report;
  EXPECT_NE(trained(line, "keep", &report).find(R"("p":NaN}],)"), std::string::npos);
  EXPECT_EQ(report["non_finite"], 1);
  const json record = json::parse(trained(line, "null", &report));
  EXPECT_EQ(report["non_finite"], 1);
  EXPECT_EQ(record["q"], json({nullptr}));
}

TEST(Instruct, ACallThatStandsAsTextMayHoldNumbersBeyondJson) {
  const std::string line =
      R"({"conversations":[{"from":"human","value":"Q"},{"from":"function_call","value":"{\"name\":\"f\",\"x\":NaN}"},)"
      R"({"from":"observation","value":"4"},{"from":"gpt","value":"A"}]})"
      "\n";
  json report;
  EXPECT_NE(trained(line, "keep", &report).find(R"("x":NaN)"), std::string::npos);
  const std::string good = R"({"messages":[{"role":"user","content":"Who?"},{"role":"assistant","content":"I."}]})"
                           "\n";
  EXPECT_EQ(trained(line + good, "null", &report).find("NaN"), std::string::npos);
  EXPECT_EQ(report["reasons"]["not_a_call:value"], 1) << report;
}

TEST(Instruct, MembersStandAsTheyCame) {
  const std::string line =
      R"({"messages":[{"role":"user","content":"Q","meta":{"z":1,"a":2}},{"role":"assistant","content":"",)"
      R"("tool_calls":[{"type":"function","function":{"name":"f","arguments":{"z":1,"a":[{"y":1,"b":2}]}}}]},)"
      R"({"role":"tool","content":"4"},{"role":"assistant","content":"A"}]})"
      "\n";
  json report;
  const std::string out = trained(line, "keep", &report);
  for (const char* part : {R"("meta":{"z":1,"a":2})",
                           R"([{"type":"function","function":{"name":"f","arguments":{"z":1,"a":[{"y":1,"b":2}]}}}])"})
    EXPECT_NE(out.find(part), std::string::npos) << out;
}

TEST(Instruct, ACallWithAKeyTwiceIsRefused) {
  for (const char* call :
       {R"({"name":"f","name":"g"})", R"([{"name":"f","arguments":{"a":1,"a":2}}])", R"({"name":"f"},"b":2)"}) {
    const json record = {{"conversations",
                          {{{"from", "human"}, {"value", "Q"}},
                           {{"from", "function_call"}, {"value", call}},
                           {{"from", "observation"}, {"value", "4"}},
                           {{"from", "gpt"}, {"value", "A"}}}}};
    EXPECT_EQ(read_text(record.dump().c_str()), "not_a_call:value") << call;
  }
}

}  // namespace
}  // namespace curate
