// Files that give nothing or lose their tail are named, and the exit status says it; every file has fields of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "curate/dry_run.h"
#include "curate/duplicates.h"
#include "curate/instruct.h"
#include "curate/score.h"
#include "tests/curate/run_folder.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Losses : public ::testing::Test {
 protected:
  std::string documents(const std::string& name, const std::string& field, int count, int first = 0) {
    std::string lines;
    for (int i = first; i < first + count; ++i)
      lines += json({{field, "the text of number " + std::to_string(i)}, {"n", i}}).dump() + "\n";
    return folder_.write(name, lines);
  }
  TemporaryFolder folder_;
  const std::string out_ = folder_ / "out";
};

TEST_F(Losses, EveryFileHasFieldsOfItsOwn) {
  const std::string a = documents("a.jsonl", "text", 3), b = documents("b.jsonl", "content", 3, 3),
                    c = folder_.write("c.csv", "n,body,id\n6,the text of number 6,six\n"),
                    d = documents("d.jsonl", "text", 2);  // again numbers 0 and 1
  // Two stages: what lies between them knows the fields of each record.
  for (const char* format : {"jsonl", "parquet"}) {
    const Ran ran = run("steps:\n  - deduplicate\n  - unicode\n",
                        {a, b, c, d, "--output", out_, "--overwrite", "--format", format});
    EXPECT_EQ(ran.report["kept"]["records"], 7);
    EXPECT_EQ(ran.report["dropped"]["records"], 2);
    EXPECT_EQ(ran.report["quarantined"]["records"], 0);
    EXPECT_EQ(ran.report["fields"]["text"], "text");
    ASSERT_EQ(ran.report["other_fields"].size(), 2u);
    EXPECT_EQ(ran.report["other_fields"][1]["id"], "id");
    EXPECT_THAT(ran.message,
                HasSubstr("text: \"text\", id: FILE:LINE, source: the file's name (2 files, the first: " + a));
    EXPECT_THAT(ran.message,
                HasSubstr("text: \"content\", id: FILE:LINE, source: the file's name (1 file, the first: "));
  }
  fs::remove_all(out_);
  run("steps:\n  - deduplicate\n  - unicode\n", {a, b, c, d, "--output", out_});
  std::set<std::string> kept;
  for (const json& record : records(out_ + "/kept"))
    for (const char* field : {"text", "content", "body"})
      if (record.contains(field)) kept.insert(field + record[field].get<std::string>().substr(19));
  EXPECT_EQ(kept.size(), 7u);
  EXPECT_EQ(kept.count("content4") + kept.count("body6"), 2u);
}

TEST_F(Losses, EditsGoIntoTheFieldOfTheFile) {
  const std::string a = folder_.write("a.jsonl", "{\"text\":\"one\\u0000\",\"content\":\"x\\u0000\"}\n"),
                    b = folder_.write("b.jsonl", "{\"content\":\"two\\u0000\"}\n");
  for (const char* steps : {"steps: [unicode]\n", "steps: [unicode, deduplicate]\n"}) {
    run(steps, {a, b, "--output", out_, "--overwrite"});
    const std::vector<json> kept = records(out_ + "/kept");
    ASSERT_EQ(kept.size(), 2u);
    EXPECT_EQ(kept[0]["text"], "one");
    EXPECT_EQ(kept[0]["content"], std::string("x\0", 2));
    EXPECT_EQ(kept[1]["content"], "two");
    EXPECT_FALSE(kept[1].contains("text"));
  }
}

TEST_F(Losses, WrongTextFieldIsRefusedBeforeAnythingIsTouched) {
  const std::string a = documents("a.jsonl", "content", 3);
  run("steps: []\n", {a, "--output", out_});
  const auto before = outputs(out_);
  for (const char* wrong : {"contents", "n", "content.text"}) {
    const std::string error = error_of([&] {
      run("steps: []\n", {a, "--output", out_, "--overwrite", "--text-field", wrong});
    });
    EXPECT_THAT(error, AllOf(HasSubstr(a), HasSubstr("no text field"), HasSubstr("content, n"))) << wrong;
    EXPECT_TRUE(outputs(out_) == before);
  }
  const std::string none = documents("none.jsonl", "what", 2);
  EXPECT_THAT(error_of([&] { run("steps: []\n", {none, "--output", folder_ / "new"}); }), HasSubstr("n, what"));
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

TEST_F(Losses, FilesThatGiveNothingAreNamed) {
  const std::string good = documents("a.jsonl", "text", 3), other = documents("b.jsonl", "what", 2),
                    empty = folder_.write("c.jsonl", ""), header = folder_.write("d.csv", "text,n\n"),
                    bad = folder_.write("e.jsonl", "[1]\nnothing\n");
  const std::vector<std::string> all = {good, other, empty, header, bad, "--output", out_};
  const Ran ran = run_with_losses("steps: []\n", all);
  EXPECT_EQ(ran.report["kept"]["records"], 3);
  EXPECT_EQ(ran.report["quarantined"]["records"], 4);
  EXPECT_THAT(ran.message, HasSubstr("lost: " + other +
                                     ": none of its 2 records can be used, the first: line 1: no "
                                     "field \"text\"; its fields are n, what: name the one that holds the text"));
  EXPECT_THAT(ran.message, HasSubstr("lost: " + empty + ": it holds no record"));
  EXPECT_THAT(ran.message, HasSubstr("lost: " + header + ": it holds no record"));
  EXPECT_THAT(ran.message, HasSubstr("lost: " + bad + ": none of its 2 records"));
  EXPECT_THAT(ran.message, Not(HasSubstr("lost: " + good)));
  EXPECT_EQ(ran.report["losses"].size(), 4u);
  EXPECT_THAT(base::read_file(out_ + "/report.html"), HasSubstr("it holds no record"));
  // The run is complete, and says so again.
  std::vector<std::string> again = all;
  again.push_back("--resume");
  EXPECT_THAT(run_with_losses("steps: []\n", again).message, HasSubstr("lost: " + other));
  // A limit that ends before them is no loss.
  EXPECT_EQ(
      run("steps: []\n", {good, other, empty, "--limit", "3", "--output", folder_ / "few"}).report["losses"].size(),
      0u);
}

TEST_F(Losses, FilesOfWhichMostIsRefusedAreNamed) {
  std::string commas;
  for (int i = 0; i < 40; ++i) commas += json({{"text", "number " + std::to_string(i)}}).dump() + ",\n";
  const std::string file = folder_.write("a.jsonl", commas + "{\"text\":\"the last\"}\n");
  const Ran ran = run_with_losses("steps: []\n", {file, "--output", out_});
  EXPECT_THAT(ran.message, HasSubstr("lost: " + file + ": 40 of its 41 records cannot be used, the first: line 1: "));
  EXPECT_THAT(ran.message, HasSubstr("quarantined: 40 times '"));
}

TEST_F(Losses, FoldersAndEmptyFieldsAreNoText) {
  fs::create_directories(folder_ / "content=news/id=7");
  const std::string file = folder_.write("content=news/id=7/a.jsonl", "{\"body\":\"one\"}\n{\"body\":\"two\"}\n"),
                    other = folder_.write("b.jsonl", "{\"text\":\"\",\"content\":\"three\"}\n");
  const Ran ran = run("steps: []\n", {file, other, "--output", out_});
  EXPECT_EQ(ran.report["fields"]["text"], "body");
  EXPECT_EQ(ran.report["fields"]["id"], "");
  EXPECT_EQ(ran.report["other_fields"][0]["text"], "content");
  EXPECT_THAT(run("steps: []\n", {file, "--output", out_, "--overwrite", "--source-field", "sauce"}).message,
              HasSubstr("\"sauce\" is in none of the first records"));
}

TEST_F(Losses, CutFilesAreNamed) {
  const std::string whole = documents("whole.jsonl", "text", 300);
  const std::string bytes = base::read_file(whole), cut = folder_.write("cut.jsonl", bytes.substr(0, bytes.size() - 5));
  std::string packed = folder_ / "packed.jsonl.gz";
  {
    const auto writer = base::open_writer(packed);
    writer->write(bytes);
    writer->commit();
  }
  const std::string gzip = base::read_file(packed);
  folder_.write("packed.jsonl.gz", std::string_view(gzip).substr(0, gzip.size() / 2));
  const Ran ran = run_with_losses("steps: []\n", {whole, cut, packed, "--output", out_});
  EXPECT_THAT(ran.message, HasSubstr("lost: " + cut + ": a part of it is lost, its last record, line 300, is cut off"));
  EXPECT_THAT(ran.message, HasSubstr("lost: " + packed + ": a part of it is lost, from line "));
  EXPECT_THAT(ran.message, HasSubstr("the compressed file is cut off"));
  EXPECT_EQ(ran.report["losses"].size(), 2u);
  // A last line that lacks its end but is whole is no loss.
  folder_.write("cut.jsonl", bytes.substr(0, bytes.size() - 1));
  EXPECT_EQ(run("steps: []\n", {cut, "--output", folder_ / "fine"}).report["losses"].size(), 0u);
}

TEST_F(Losses, KilledRunsKnowThem) {
  const std::string other = documents("b.jsonl", "what", 50), good = documents("a.jsonl", "text", 3),
                    bad = folder_.write("c.jsonl", "1\n2\n3\n");
  const std::vector<std::string> all = {good, other, bad, "--output", out_};
  std::vector<std::string> stops = all, goes_on = all;
  stops.insert(stops.end(), {"--max-bad", "20"});
  goes_on.insert(goes_on.end(), {"--max-bad", "0", "--resume"});
  EXPECT_THAT(error_of([&] { run("steps: []\n", stops); }), HasSubstr("too many records could not be read"));
  const Ran ran = run_with_losses("steps: []\n", goes_on);
  EXPECT_THAT(ran.message, HasSubstr("lost: " + other + ": none of its 50 records"));
  EXPECT_THAT(ran.message, HasSubstr("lost: " + bad));
}

TEST_F(Losses, MaxBadMayBeAShare) {
  std::string lines = base::read_file(documents("a.jsonl", "text", 97));
  const std::string file = folder_.write("b.jsonl", "no\nno\nno\n" + lines);
  EXPECT_EQ(run("steps: []\n", {file, "--output", out_, "--max-bad", "3%"}).report["quarantined"]["records"], 3);
  const std::string error = error_of([&] {
    run("steps: []\n", {file, "--output", folder_ / "o", "--max-bad", "2.5%"});
  });
  EXPECT_THAT(error, AllOf(HasSubstr("3 of 100"), HasSubstr("at most --max-bad 2.5%")));
  run("steps: []\n", {file, "--output", folder_ / "o", "--max-bad", "10%", "--resume"});
  EXPECT_TRUE(outputs(folder_ / "o") == outputs(out_));
  EXPECT_THAT(base::read_file(out_ + "/run.yaml"), HasSubstr("max_bad: 3%"));
}

TEST_F(Losses, OtherCommandsNameThem) {
  const std::string good = documents("a.jsonl", "text", 3), empty = folder_.write("c.jsonl", ""),
                    other = documents("b.jsonl", "content", 2, 3);
  const auto said = [&](auto& options, auto command, std::vector<std::string> flags, int status) {
    base::OptionSet(options).read_words(flags);
    std::ostringstream out, err;
    base::Context context{out, err, false, false, "", "curate"};
    EXPECT_EQ(command(options, context), status);
    return err.str();
  };
  ScoreOptions score;
  score.steps.clear();
  std::string message = said(score, run_score, {good, other, empty, "--output", folder_ / "scored.jsonl"}, 1);
  EXPECT_THAT(message, HasSubstr("5 records scored, 0 could not be read"));
  EXPECT_THAT(message, HasSubstr("lost: " + empty));
  DuplicatesOptions duplicates;
  message = said(duplicates, run_duplicates, {good, other, empty}, 1);
  EXPECT_THAT(message, AllOf(HasSubstr("0 of 5 documents"), HasSubstr("lost: " + empty)));
  InstructOptions instruct;
  const std::string chat = folder_.write("chat.jsonl", R"({"prompt":"What is it?","completion":"It is a stone."})"
                                                       "\n");
  message = said(instruct, run_instruct, {chat, good, "--output", folder_ / "chats", "--validation-share", "0"}, 1);
  EXPECT_THAT(message, HasSubstr("lost: " + good + ": none of its 3 records can be used"));
  EXPECT_THAT(base::read_file(folder_ / "chats/report.json"), HasSubstr("\"losses\""));
  const Ran dry = run_with_losses("steps: []\n", {good, other, empty, "--output", out_, "--dry-run", "4"});
  EXPECT_THAT(dry.message, HasSubstr("lost: " + empty));
}

}  // namespace
}  // namespace curate
