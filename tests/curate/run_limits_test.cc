// A run under limits: little memory, a full disk, unreadable files; and input in another order.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "base/error.h"
#include "base/machine.h"
#include "base/run_lock.h"
#include "curate/dedup/duplicate_search.h"
#include "curate/explain.h"
#include "curate/instruct.h"
#include "curate/records/outputs.h"
#include "tests/curate/run_folder.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

// Texts of which a third are copies or nearly copies of an earlier one, with dates.
std::vector<std::string> make_lines(int count) {
  base::Random random(21);
  std::vector<std::string> texts, lines;
  for (int i = 0; i < count; ++i) {
    std::string text = words(random, 20 + static_cast<int>(random.below(200)));
    if (i % 3 == 2) {
      text = texts[random.below(texts.size())];
      if (random.below(2)) text += random.below(2) ? " and more." : " a little more of that.";
    }
    texts.push_back(text);
    lines.push_back(json({{"id", "doc" + std::to_string(i)},
                          {"text", text},
                          {"date", std::to_string(2000 + random.below(20)) + "-01-01"}})
                        .dump());
  }
  return lines;
}

std::string joined(std::span<const std::string> lines) {
  std::string all;
  for (const std::string& one : lines) all += one + "\n";
  return all;
}

// So little for the search that the documents are compared in many groups: the same bytes, also of the pairs.
TEST(RunLimits, MemoryDoesNotChangeTheOutput) {
  TemporaryFolder folder;
  folder.write("a.jsonl", joined(make_lines(3000)));
  std::map<std::string, std::string> expected;
  for (const std::uint64_t memory : {std::uint64_t{0}, std::uint64_t{150'000}}) {
    const std::string out = folder / ("out" + std::to_string(memory));
    run("steps:\n  - deduplicate: {near: false}\n  - c4\n  - deduplicate: {keep: longest, pairs: '" + out +
            ".pairs'}\n",
        {folder / "a.jsonl", "--output", out, "--threads", "2"}, memory);
    auto got = outputs(out);
    got["pairs"] = base::read_file(out + ".pairs");
    EXPECT_GT(got["pairs"].size(), 1000u);
    if (memory == 0) expected = got;
    EXPECT_TRUE(got == expected);
  }
  // Less than the documents' own numbers take: an error that says how much is enough, and --resume goes on with it.
  const std::string out = folder / "too-little";
  const std::string steps = "steps:\n  - deduplicate: {near: false}\n  - c4\n  - deduplicate: {keep: longest}\n";
  EXPECT_THAT(error_of([&] {
                run(steps, {folder / "a.jsonl", "--output", out}, 1000);
              }),
              HasSubstr("--resume --memory"));
  const std::string enough = std::to_string((base::resident_memory() >> 20) + 900) + "M";  // beside the test itself
  run(steps, {folder / "a.jsonl", "--output", out, "--resume", "--memory", enough});
  expected.erase("pairs");
  EXPECT_TRUE(outputs(out) == expected);
}

TEST(RunLimits, TooLittleMemoryIsRefusedAtOnce) {
  TemporaryFolder folder;
  folder.write("a.jsonl", line("a", "some text"));
  const std::string out = folder / "out";
  const std::string error = error_of([&] {
    run("steps: []\n", {folder / "a.jsonl", "--output", out, "--memory", "5M", "--threads", "2"});
  });
  EXPECT_THAT(error, HasSubstr("--memory"));
  const std::size_t found = error.find("at least ");
  ASSERT_NE(found, error.npos);
  EXPECT_FALSE(fs::exists(out));
  const std::string enough = std::to_string(std::stoul(error.substr(found + 9)) + 64) + "M";  // the test itself grows
  run("steps: []\n", {folder / "a.jsonl", "--output", out, "--memory", enough, "--threads", "2"});
}

TEST(RunLimits, ThreadsBeyondTheMachinesMemoryAreRefusedAtOnce) {
  TemporaryFolder folder;
  folder.write("a.jsonl", line("a", "some text"));
  const std::string error = error_of([&] {
    run("steps: []\n", {folder / "a.jsonl", "--output", folder / "out", "--threads", "1000000"});
  });
  EXPECT_THAT(error, HasSubstr("too little for 1000000 threads"));
  EXPECT_THAT(error, ::testing::ContainsRegex("--threads [0-9]+ needs less"));
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(RunLimits, TooLittleForTheSearchNamesMore) {
  DuplicateSearch search;
  search.documents = 1000;
  search.memory = 0;
  search.budget = 100 << 20;
  search.elsewhere = 900 << 20;  // more than the budget is in use
  const std::string error = error_of([&] { find_duplicates(search, {}); });
  EXPECT_THAT(error, HasSubstr("got '100M', expected at least 901M"));
}

TEST(RunLimits, TwoRunsDoNotShareAFolder) {
  TemporaryFolder folder;
  const std::string input = folder.write("a.jsonl", line("a", "some text")), out = folder / "out";
  run("steps: []\n", {input, "--output", out});
  fs::remove(out + "/report.json");  // as of a run that is not done
  const auto before = outputs(out);
  {
    base::RunLock other;
    other.take(out);
    for (const char* how : {"--overwrite", "--resume"})
      EXPECT_THAT(error_of([&] {
                    run("steps: []\n", {input, "--output", out, how});
                  }),
                  HasSubstr("another run writes there at this moment"));
    EXPECT_TRUE(outputs(out) == before);
    InstructOptions instruct;
    base::OptionSet(instruct).read_words(std::vector<std::string>{input, "--output", out});
    std::ostringstream standard, err;
    base::Context context{standard, err, true, true, "", "curate"};
    EXPECT_THAT(error_of([&] { run_instruct(instruct, context); }), HasSubstr("another run writes there"));
  }
  run("steps: []\n", {input, "--output", out, "--overwrite"});
}

TEST(RunLimits, AFileThatCannotBeCutBackIsNoShortOne) {
  const std::string error = error_of([] { AppendFile file("/dev/null", 0); });
  EXPECT_THAT(error, HasSubstr("cannot cut the file back to its last checkpoint: "));
  EXPECT_THAT(error, HasSubstr("--resume"));
  TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { AppendFile file(folder.write("x", "12"), 3); }), HasSubstr("shorter than the checkpoint"));
}

TEST(RunLimits, LimitsThatNothingMeetsAreRefused) {
  TemporaryFolder folder;
  const std::string input = folder.write("a.jsonl", line("a", "some text"));
  for (const char* limits :
       {"min_doc_words: 100, max_doc_words: 5", "min_avg_word_length: 5, max_avg_word_length: 4.5"})
    EXPECT_THAT(
        error_of([&] {
          run(std::string("steps:\n  - gopher_quality: {") + limits + "}\n", {input, "--output", folder / "out"});
        }),
        HasSubstr("no document can have as many and as few"));
  run("steps:\n  - gopher_quality: {min_doc_words: 100, max_doc_words: 0}\n", {input, "--output", folder / "out"});
}

// The same documents are kept when the lines come in another order, in other files, compressed or not.
TEST(RunLimits, KeptSetDoesNotDependOnOrderOrShards) {
  TemporaryFolder folder;
  std::vector<std::string> lines = make_lines(1500);
  base::Random random(5);
  std::map<std::string, std::set<std::string>> expected;
  std::set<std::set<std::string>> first;
  for (int round = 0; round < 4; ++round) {
    const std::string part = folder / ("round" + std::to_string(round));
    fs::create_directories(part);
    const std::size_t shards = round == 0 ? 1 : 1 + 2 * static_cast<std::size_t>(round);
    for (std::size_t shard = 0; shard < shards; ++shard) {
      const std::size_t begin = lines.size() * shard / shards, end = lines.size() * (shard + 1) / shards;
      const std::string bytes = joined(std::span(lines).subspan(begin, end - begin));
      const std::string path = part + "/" + std::to_string(shard) + ".jsonl";
      if (shard % 2) {
        base::write_file(path + ".zst", base::zstd_compress(bytes));
      } else {
        base::write_file(path, bytes);
      }
    }
    for (const std::string keep : {"longest", "best_score", "newest", "first"}) {
      const std::string out = part + "/out-" + keep;
      run("steps:\n  - textbook: {min_score: 0}\n  - deduplicate: {keep: " + keep + "}\n",
          {part + "/*.jsonl*", "--output", out});
      std::set<std::string> kept;
      for (const json& record : records(out + "/kept")) kept.insert(record["id"].get<std::string>());
      if (keep == "first") {
        first.insert(kept);
        continue;
      }
      if (round == 0) expected[keep] = kept;
      EXPECT_EQ(kept, expected[keep]) << keep << ", round " << round;
      EXPECT_LT(kept.size(), 1400u);
    }
    shuffle(lines, random);
  }
  EXPECT_GT(first.size(), 1u);  // by definition; else this test shows nothing
  EXPECT_NE(expected["longest"], expected["newest"]);
  EXPECT_NE(expected["longest"], expected["best_score"]);
}

// No file may grow beyond a limit: to the program, a full disk.
struct Limit {
  explicit Limit(rlim_t bytes) : handler(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit now{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~Limit() {
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
  }
  void (*handler)(int);
  rlimit before{};
};

TEST(RunLimits, FullDiskIsAClearErrorAndNothingIsLost) {
  TemporaryFolder folder;
  folder.write("a.jsonl", joined(make_lines(10000)));
  struct Case {
    std::string steps;
    std::uint64_t bytes;
    std::string file;
  };
  for (const Case& full :
       {Case{"steps:\n  - deduplicate\n", 3'000'000, ".work/spill-0"}, Case{"steps: []\n", 500'000, "kept/00000"}}) {
    const std::string out = folder / ("out" + std::to_string(full.bytes)), whole = out + "-whole";
    const std::vector<std::string> flags = {folder / "a.jsonl", "--checkpoint-seconds", "0", "--output"};
    auto with = [&](std::vector<std::string> more) {
      more.insert(more.begin(), flags.begin(), flags.end());
      return more;
    };
    run(full.steps, with({whole}));
    std::string error;
    {
      Limit limit(full.bytes);
      error = error_of([&] { run(full.steps, with({out})); });
    }
    EXPECT_THAT(error, HasSubstr("cannot write"));
    EXPECT_THAT(error, HasSubstr(out + "/" + full.file));
    EXPECT_THAT(error, HasSubstr("--resume"));
    const std::size_t kept = records(out + "/kept").size();  // throws where a frame is cut off
    EXPECT_EQ(kept > 0, full.steps == "steps: []\n");
    run(full.steps, with({out, "--resume"}));
    EXPECT_TRUE(outputs(out) == outputs(whole));
  }
}

// Many columns of few rows: the Parquet file is far larger than the JSONL it is made of.
TEST(RunLimits, FullDiskWhileParquetIsWritten) {
  TemporaryFolder folder;
  json record = {{"text", "a text"}};
  for (int i = 0; i < 500; ++i) record["field" + std::to_string(i)] = i;
  const std::string input = folder.write("a.jsonl", record.dump() + "\n"), out = folder / "out",
                    whole = folder / "whole";
  run("steps: []\n", {input, "--format", "parquet", "--output", whole});
  std::string error;
  {
    Limit limit(50'000);
    error = error_of([&] { run("steps: []\n", {input, "--format", "parquet", "--output", out}); });
  }
  EXPECT_THAT(error, HasSubstr("kept/00000.parquet"));
  EXPECT_THAT(error, HasSubstr("File too large"));
  EXPECT_THAT(error, HasSubstr("--resume"));
  EXPECT_TRUE(fs::is_empty(out + "/kept"));
  EXPECT_EQ(records(out + "/.work/kept").size(), 1u);
  run("steps: []\n", {input, "--format", "parquet", "--output", out, "--resume"});
  EXPECT_TRUE(outputs(out) == outputs(whole));
}

// Paths that are not UTF-8: run.yaml repeats the run, --resume and explain find their files.
TEST(RunLimits, PathsOfAnyBytes) {
  TemporaryFolder folder;
  const std::string place = folder / "caf\xe9 \"\n", input = place + "/a.jsonl", out = place + "/out";
  fs::create_directory(place);
  base::write_file(input, "not JSON\n{\"content\":\n" + line("a", "one text") + line("b", "another text"));
  EXPECT_THROW(run("steps: [sample]\n", {input, "--output", out, "--max-bad", "1"}), base::Error);
  run("steps: [sample]\n", {input, "--output", out, "--resume"});
  EXPECT_EQ(records(out + "/kept").size(), 2u);
  const auto first = outputs(out);
  run(base::read_file(out + "/run.yaml"), {"--overwrite", "--max-bad", "0"});
  EXPECT_TRUE(outputs(out) == first);
  ExplainOptions options;
  base::OptionSet(options).read_words(std::vector<std::string>{"--run", out, "--id", "b"});
  std::ostringstream standard, err;
  base::Context context{standard, err, true, true, "", "curate"};
  EXPECT_EQ(run_explain(options, context), 0);
  EXPECT_EQ(json::parse(standard.str())["run"]["folder"], "kept");
}

// What a run decides with lies beside the options too: another list would make a mixture of two runs.
TEST(RunLimits, ResumeRefusesOtherFilesOfSteps) {
  TemporaryFolder folder;
  const std::string input = folder.write("a.jsonl", "no JSON\n{]\n" + joined(make_lines(20)));
  const std::string item = "a text of a benchmark that is long enough to be looked for in every one of the documents";
  const std::string words = folder.write("words.txt", "river\n"),
                    benchmark = folder.write("items.jsonl", line("a", item)), model = folder / "a.model";
  fs::copy_file(HORNBOOK_SOURCE_DIR "/curate/models/textbook.model", model);
  const std::map<std::string, std::string> steps = {{words, "c4: {bad_words: '" + words + "'}"},
                                                    {benchmark, "decontaminate: {against: ['" + benchmark + "']}"},
                                                    {model, "textbook: {model: '" + model + "'}"}};
  for (const auto& [file, step] : steps) {
    const std::string config = "steps:\n  - " + step + "\n", out = file + ".out";
    EXPECT_THAT(error_of([&] { run(config, {input, "--output", out, "--max-bad", "1"}); }), HasSubstr("--resume"));
    const auto time = fs::last_write_time(file);
    fs::last_write_time(file, time + std::chrono::seconds(1));
    const std::string error = error_of([&] { run(config, {input, "--output", out, "--max-bad", "0", "--resume"}); });
    EXPECT_THAT(error, HasSubstr("a file that a step reads changed"));
    EXPECT_THAT(error, HasSubstr(file));
    EXPECT_THAT(error, HasSubstr("--overwrite"));
    fs::last_write_time(file, time);
    run(config, {input, "--output", out, "--max-bad", "0", "--resume"});
  }
}

TEST(RunLimits, UnreadableFileIsAClearError) {
  TemporaryFolder folder;
  folder.write("a.jsonl", joined(make_lines(10)));
  const std::string locked = folder.write("b.jsonl", joined(make_lines(10)));
  chmod(locked.c_str(), 0);
  const uid_t user = geteuid();
  ASSERT_TRUE(user != 0 || (chmod(folder.path().c_str(), 0777) == 0 && seteuid(65534) == 0));  // root reads everything
  const std::string error = error_of([&] { run("steps: []\n", {folder / "*.jsonl", "--output", folder / "out"}); });
  if (user == 0) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_THAT(error, HasSubstr("Permission denied"));
  EXPECT_THAT(error, HasSubstr(locked));
  chmod(locked.c_str(), 0600);
  Ran ran = run("steps: []\n", {folder / "*.jsonl", "--output", folder / "out", "--overwrite"});
  EXPECT_EQ(ran.report["kept"]["records"], 20);
}

}  // namespace
}  // namespace curate
