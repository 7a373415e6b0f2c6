// The commands where files hold what cannot be read: every piece is counted, on any threads, and the fields are found
// behind it.
#include <gmock/gmock.h>

#include "base/error.h"
#include "curate/duplicates.h"
#include "curate/explain.h"
#include "curate/score.h"
#include "tests/curate/run_folder.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

using ::testing::HasSubstr;

// Rows of several blocks: good ones, and every fourth of three fields.
std::string rows(int count) {
  base::Random random(4);
  std::string all = "text,id\n";
  for (int i = 0; i < count; ++i) {
    std::string text = words(random, 40);
    std::replace(text.begin(), text.end(), '\n', ' ');
    all += text + (i % 4 == 0 ? ",id,more\n" : ",id" + std::to_string(i) + "\n");
  }
  return all;
}

template <class Options, class Command>
std::string said(Options& options, Command command, int expected, std::vector<std::string> flags) {
  base::OptionSet set(options);
  flags.insert(flags.end(), {"--threads", "4"});
  set.read_words(flags);
  std::ostringstream out, err;
  base::Context context{out, err, false, false, "", "curate"};
  EXPECT_EQ(command(options, context), expected);
  return err.str();
}

TEST(Commands, CountWhatCannotBeRead) {
  TemporaryFolder folder;
  const std::string file = folder.write("a.csv", rows(40'000)), none = folder.write("b.csv", "text,id\na\nb\nc\n");
  DuplicatesOptions duplicates;
  EXPECT_THAT(said(duplicates, run_duplicates, 1, {file}), HasSubstr("10,000 could not be read"));
  DuplicatesOptions whole;
  EXPECT_THAT(said(whole, run_duplicates, 0, {folder.write("c.csv", "text,id\na,b\n")}),
              HasSubstr("0 could not be read"));
  DuplicatesOptions nothing;
  EXPECT_THAT(said(nothing, run_duplicates, 1, {none}), HasSubstr("3 could not be read"));
  ScoreOptions score;
  score.steps.clear();
  const std::string message = said(score, run_score, 1, {file, none, "--output", folder / "scored.jsonl.zst"});
  EXPECT_THAT(message, HasSubstr("30,000 records scored, 10,003 could not be read, the first: " + file + ":2: "));
}

TEST(Commands, SayWhichRecordsHadAKeyTwiceOrNoNumber) {
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 3; ++i) {
    lines += R"({"id":"a","text":"the one","text":"word number )" + std::to_string(i) +
             R"( of some","label":0,"label":)" + std::to_string(i % 2) + "}\n";
  }
  lines += R"({"id":"b","text":"one without","label":1,"x":NaN,"y":[{"z":-Infinity}]})"
           "\n";
  const std::string file = folder.write("a.jsonl", lines);
  const auto twice = HasSubstr("3 records had a key twice: the last one counts");
  DuplicatesOptions duplicates;
  EXPECT_THAT(said(duplicates, run_duplicates, 0, {file}), twice);
  for (const char* nan : {"keep", "null"}) {
    ScoreOptions score;
    score.steps.clear();
    const std::string message = said(score, run_score, 0, {file, "--output", folder / "scored.jsonl", "--nan", nan});
    EXPECT_THAT(message, twice);
    EXPECT_THAT(message, HasSubstr("1 record held NaN or Infinity"));
    const std::string scored = base::read_file(folder / "scored.jsonl");
    EXPECT_EQ(scored.find("the one"), scored.npos);
    EXPECT_THAT(scored, HasSubstr(nan == std::string("keep") ? R"("x":NaN,"y":[{"z":-Infinity}]})"
                                                             : R"("x":null,"y":[{"z":null}]})"));
  }
  ExplainOptions explain;
  base::OptionSet(explain).read_yaml("steps: [sample]\n", "config.yaml");
  EXPECT_THAT(said(explain, run_explain, 0, {file, "--number", "2"}), HasSubstr("1 record had a key twice"));
  EXPECT_EQ(said(explain, run_explain, 0, {file, "--number", "4"}), "");
  Ran ran = run("steps:\n  - decontaminate: {against: [" + file + "], min_words: 2, fields: [text]}\n",
                {file, "--output", folder / "run"});
  EXPECT_THAT(ran.message, HasSubstr("decontaminate: of the benchmarks, 3 records had a key twice"));
  EXPECT_EQ(ran.report["steps"][0]["notes"]["repeated_keys"], 3);
  EXPECT_EQ(ran.report["dropped"]["records"], 4);
}

// The fields go by the first record that can be read, however many blocks (one a file at least) hold none.
TEST(Commands, FindTheFieldsBehindWhatCannotBeRead) {
  TemporaryFolder folder;
  const std::string bad = folder.write("bad.jsonl", "no JSON\n[1]\n"), worse = folder.write("worse.csv", "text\na,b\n"),
                    last = folder.write("last.jsonl", "no JSON\n[2]\n");
  std::string good;
  for (int i = 0; i < 20; ++i)
    good +=
        json({{"uid", "u" + std::to_string(i / 2)}, {"content", "a text, number " + std::to_string(i / 2)}}).dump() +
        "\n";
  const std::string lines = folder.write("good.jsonl", good);
  run("steps: []\n", {lines, "--output", folder / "good", "--format", "parquet"});
  for (const std::string& input : {lines, folder / "good/kept/00000.parquet"}) {  // .parquet is decoded later
    const std::string out = folder / ("out" + input.substr(input.rfind('.')));
    Ran ran = run_with_losses("steps: []\n", {bad, worse, last, input, "--output", out});
    EXPECT_EQ(ran.report["kept"]["records"], 20) << input;
    EXPECT_EQ(ran.report["quarantined"]["records"], 5);
    EXPECT_EQ(ran.report["fields"]["text"], "content");
    EXPECT_THAT(ran.message, HasSubstr("text: \"content\", id: \"uid\""));
    // Interrupted before the first record that can be read.
    EXPECT_THROW(run("steps: []\n", {bad, worse, last, input, "--output", out + "2", "--max-bad", "1"}), base::Error);
    run_with_losses("steps: []\n", {bad, worse, last, input, "--output", out + "2", "--resume"});
    EXPECT_TRUE(outputs(out) == outputs(out + "2"));
    EXPECT_EQ(run("steps: []\n", {bad, input, "--output", out, "--dry-run", "100"}).report["kept"]["records"], 20);
    ScoreOptions score;
    score.steps.clear();
    EXPECT_THAT(said(score, run_score, 1, {bad, worse, last, input, "--output", out + ".jsonl"}),
                HasSubstr("20 records scored, 5 could not be read, the first: " + bad + ":1: "));
    DuplicatesOptions duplicates;
    EXPECT_THAT(said(duplicates, run_duplicates, 1, {bad, worse, last, input}),
                HasSubstr("10 of 20 documents are duplicates"));
    ExplainOptions explain;
    base::OptionSet(explain).read_yaml("steps: [sample]\n", "config.yaml");
    EXPECT_EQ(said(explain, run_explain, 0, {bad, worse, last, input, "--id", "u7"}), "");
  }
}

}  // namespace
}  // namespace curate
