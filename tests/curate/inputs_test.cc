// What a run reads of folders, and what it calls it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/parquet.h"
#include "base/records.h"
#include "curate/explain.h"
#include "curate/instruct.h"
#include "tests/curate/run_folder.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Names = std::set<std::string>;

class InputFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"in/a", "in/b", "in/year=2024/lang=en"}) fs::create_directories(folder_ / name);
    folder_.write("in/a/x.jsonl", "{\"text\":\"one\"}\n");
    folder_.write("in/b/x.jsonl", "{\"text\":\"two\"}\n");
    folder_.write("in/b/x.txt", "three");
    folder_.write("in/year=2024/lang=en/z.jsonl", "{\"text\":\"four\"}\n{\"text\":\"five\",\"lang\":\"de\"}\n");
    folder_.write("in/notes.md", "no record");
  }
  static Names ids(const json& report) {
    Names ids;
    for (const json& sample : report["samples"]["kept"]) ids.insert(sample["id"].get<std::string>());
    return ids;
  }
  static Names sources(const json& report) {
    Names names;
    for (const auto& [name, source] : report["sources"].items()) names.insert(name);
    return names;
  }
  TemporaryFolder folder_;
};

TEST_F(InputFolder, IdsAndSourcesAreUnique) {
  const Ran ran = run("steps: []\n", {folder_ / "in", "--output", folder_ / "out"});
  const Names expected = {"a/x.jsonl:1", "b/x.jsonl:1", "b/x.txt", "year=2024/lang=en/z.jsonl:1",
                          "year=2024/lang=en/z.jsonl:2"};
  EXPECT_EQ(ids(ran.report), expected);
  EXPECT_EQ(sources(ran.report), (Names{"a/x", "b/x", "year=2024/lang=en/z"}));
  EXPECT_THAT(ran.message, HasSubstr("left out: 1 .md"));
  // Neither the working directory nor the spelling matters.
  const fs::path before = fs::current_path();
  fs::current_path(folder_ / "in/b");
  const Ran other = run("steps: []\n", {"../../in/./", "--output", folder_ / "other"});
  fs::current_path(before);
  EXPECT_EQ(ids(other.report), expected);
}

TEST_F(InputFolder, OneFileIsCalledByItsName) {
  const Ran ran = run("steps: []\n", {folder_ / "in/a/x.jsonl", folder_ / "in/a/./x.jsonl", folder_ / "in/a/*",
                                      "--output", folder_ / "out"});
  EXPECT_EQ(ids(ran.report), (Names{"x.jsonl:1"}));
  EXPECT_EQ(ran.report["read"]["records"], 1);
  EXPECT_THAT(ran.message, HasSubstr("is read once"));
}

TEST_F(InputFolder, FoldersGiveFields) {
  const Ran ran = run("steps: []\n", {folder_ / "in/year=2024", "--output", folder_ / "out", "--source-field", "lang",
                                      "--id-field", "year"});
  EXPECT_EQ(sources(ran.report), (Names{"de", "en"}));
  EXPECT_EQ(ids(ran.report), (Names{"2024"}));
  const std::vector<json> kept = records(folder_ / "out/kept");
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0], (json{{"text", "four"}, {"year", "2024"}, {"lang", "en"}}));
  EXPECT_EQ(kept[1], (json{{"text", "five"}, {"lang", "de"}, {"year", "2024"}}));
}

// What a run writes below such a folder has no fields of it.
TEST_F(InputFolder, OutputFoldersGiveNone) {
  fs::create_directories(folder_ / "try=1");
  run("steps: []\n", {folder_ / "in/a", "--output", folder_ / "try=1/out", "--format", "parquet"});
  std::string line;
  base::for_each_record({folder_ / "try=1/out/kept/00000.parquet"}, {},
                        [&](std::string_view record, const base::Place&, const std::string&) { line += record; });
  EXPECT_EQ(line, "{\"text\":\"one\"}");
}

TEST_F(InputFolder, ExplainSaysWhenAnIdNamesSeveral) {
  fs::create_directories(folder_ / "own/a");
  fs::create_directories(folder_ / "own/b");
  folder_.write("own/a/x.jsonl", "{\"id\":\"1\",\"text\":\"one\"}\n");
  folder_.write("own/b/x.jsonl", "{\"id\":\"0\",\"text\":\"nil\"}\n{\"id\":\"1\",\"text\":\"two\"}\n");
  const auto explain = [&](const std::string& id) {
    ExplainOptions options;
    base::OptionSet set(options);
    set.read_yaml("steps: [c4]\n", "config.yaml");
    set.read_words(std::vector<std::string>{"--id", id, folder_ / "own"});
    std::ostringstream out, err;
    base::Context context{out, err, false, false, "", "curate"};
    run_explain(options, context);
    return out.str();
  };
  EXPECT_THAT(explain("1"), AllOf(HasSubstr("a/x.jsonl:1"), HasSubstr("means 1 more"), HasSubstr("b/x.jsonl:2")));
  EXPECT_THAT(explain("b/x.jsonl:2"), AllOf(HasSubstr("b/x.jsonl:2, 3 bytes"), Not(HasSubstr("more"))));
  EXPECT_THAT(explain("0"), Not(HasSubstr("more")));
}

TEST_F(InputFolder, InstructTakesThem) {
  fs::create_directories(folder_ / "chats/lang=fr");
  fs::create_directories(folder_ / "chats/lang=it");
  const auto chat = [](const std::string& what) {
    const json question = {{"role", "user"}, {"content", "What is it, please?"}};
    const json answer = {{"role", "assistant"}, {"content", "It is a " + what + " by the river, as you can see."}};
    return json({{"messages", {question, answer}}}).dump() + "\n";
  };
  folder_.write("chats/lang=fr/x.jsonl", chat("stone"));
  folder_.write("chats/lang=it/x.jsonl", chat("house"));
  InstructOptions options;
  options.reading.input = {folder_ / "chats"};
  options.output = folder_ / "out";
  options.validation_share = 0;
  options.unique = false;
  std::ostringstream out, err;
  base::Context context{out, err, false, true, "", "curate"};
  EXPECT_EQ(run_instruct(options, context), 0);
  const std::string train = base::read_file(folder_ / "out/train.jsonl");
  for (const char* part : {"\"lang=fr/x.jsonl:1\"", "\"lang=it/x.jsonl:1\"", "\"lang=fr/x\"", "\"lang\":\"fr\""})
    EXPECT_THAT(train, HasSubstr(part));
}

}  // namespace
}  // namespace curate
