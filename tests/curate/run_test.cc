// Proof 5: every record is accounted for, whatever the bytes; the output does not depend on the number of threads.
#include "curate/run.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/records.h"
#include "base/stream.h"
#include "base/text.h"
#include "curate/explain.h"
#include "tests/curate/run_folder.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const char kSteps[] =
    "steps:\n"
    "  - gopher_quality\n"
    "  - c4\n"
    "  - deduplicate: {keep: longest}\n";

class HostileCorpus : public ::testing::Test {
 protected:
  void SetUp() override {
    base::Random random(7);
    std::string good;
    std::vector<std::string> texts;
    for (int i = 0; i < 3000; ++i) {
      std::string text =
          i % 3 == 2 ? texts[random.below(texts.size())] : words(random, 20 + static_cast<int>(random.below(300)));
      if (i % 3 == 2 && random.below(2)) text += " and one more sentence.";
      if (i % 10 == 0) text += "\n please enable javascript to go on.\nthe end of that.";
      texts.push_back(text);
      good += line("doc" + std::to_string(i), text);
    }
    folder_.write("a.jsonl", good);
    std::string frame = base::zstd_compress(good);
    folder_.write("b.jsonl.zst", std::string_view(frame).substr(0, frame.size() * 2 / 3));
    std::string text = words(random, 100);
    std::string hostile = "\xEF\xBB\xBF" + line("bom", text);
    hostile += "{\"id\":\"bad utf8\",\"text\":\"\xff\xfe\"}\n";
    hostile += "not json\n\n   \n{\"id\":\"cut\",\"text\":\"abc\n{\"id\":\"two\",\"text\":\"a\"}{\"id\":\"x\"}\n";
    hostile += "{\"id\":\"nan\",\"text\":\"a\",\"x\":nan}\n{\"id\":\"missing\"}\n{\"id\":\"number\",\"text\":5}\n";
    hostile += "{\"id\":\"surrogate\",\"text\":\"\\ud800\"}\n[1,2]\n" + std::string(5000, '[') + "\n";
    hostile += std::string("{\"id\":\"nul\0\",\"text\":\"a\"}\n", 25);
    hostile += line("same", text + " 1.") + line("same", text + " 2.") + "{\"text\":\"\"}\r\n";
    hostile += "{\"id\":\"last, no newline\",\"text\":\"" + std::string(100, 'x') + "\"}";
    folder_.write("c.jsonl", hostile);
    folder_.write("e.jsonl", "");
    folder_.write("f.jsonl.gz", "this is not gzip");
  }

  void add_large_line() {
    base::Random random(8);
    std::string large(64 << 20, 'a');
    for (std::size_t i = 0; i < large.size(); i += 7) large[i] = ' ';
    folder_.write(
        "d.jsonl",
        line("before", words(random, 100)) +
            json({{"id", "large"}, {"text", words(random, 100)}, {"blob", large}, {"extra", {1, 2.5, nullptr}}})
                .dump() +
            "\n" + line("after", words(random, 100)));
  }

  TemporaryFolder folder_;
};

TEST_F(HostileCorpus, EveryRecordIsAccountedForWithAnyNumberOfThreads) {
  add_large_line();
  std::map<std::string, std::string> first;
  json first_counts;
  for (const char* threads : {"1", "2", "8"}) {
    const std::string out = folder_ / (std::string("out") + threads);
    Ran ran =
        run_with_losses(kSteps, {folder_ / "*.jsonl*", "--output", out, "--threads", threads, "--shard-size", "100k"});
    EXPECT_EQ(ran.report["losses"].size(), 3u);  // cut off, empty, corrupt
    auto kept = records(out + "/kept"), dropped = records(out + "/dropped"), bad = records(out + "/quarantine");
    EXPECT_EQ(ran.report["read"]["records"], kept.size() + dropped.size() + bad.size());
    EXPECT_EQ(ran.report["kept"]["records"], kept.size());
    EXPECT_EQ(ran.report["dropped"]["records"], dropped.size());
    EXPECT_EQ(ran.report["quarantined"]["records"], bad.size());
    EXPECT_FALSE(fs::exists(out + "/.work"));
    ran.report.erase("seconds"), ran.report.erase("threads"), ran.report.erase("megabytes_per_second");
    for (json& step : ran.report["steps"]) step.erase("seconds"), step.erase("megabytes_per_second");
    if (first.empty()) {
      first = outputs(out);
      first_counts = ran.report;
      EXPECT_GT(kept.size(), 1000u);
      EXPECT_GT(first.size(), 6u);  // several shards
      std::map<std::string, int> ids;
      for (const auto* list : {&kept, &dropped})
        for (const json& record : *list) ++ids[record.value("id", "none")];
      for (int i = 0; i < 3000; ++i) ASSERT_GE(ids["doc" + std::to_string(i)], 1) << i;
      EXPECT_EQ(ids["same"], 2);
      for (const char* id : {"bom", "before", "large", "after", "last, no newline"}) EXPECT_EQ(ids[id], 1) << id;
      for (const char* id : {"bad utf8", "cut", "two", "nan", "missing", "number", "surrogate"})
        EXPECT_EQ(ids[id], 0) << id;
      int of_c = 0, truncated = 0;
      for (const json& record : bad) {
        EXPECT_FALSE(record["error"].get<std::string>().empty());
        EXPECT_TRUE(record.contains("text") || record.contains("hex"));
        of_c += record["file"].get<std::string>().ends_with("c.jsonl");
        truncated += record["file"].get<std::string>().ends_with("b.jsonl.zst");
      }
      EXPECT_EQ(of_c, 11);
      EXPECT_GE(truncated, 1);
      for (const json& record : dropped) {
        ASSERT_TRUE(record["hornbook"].contains("step") && record["hornbook"].contains("reason"));
        if (record["hornbook"]["step"] == "deduplicate") {
          ASSERT_GE(record["hornbook"]["jaccard"].get<double>(), 0.8);
        }
      }
      for (const json& record : kept) EXPECT_EQ(record["extra"], json({1, 2.5, nullptr}));
    } else {
      EXPECT_TRUE(outputs(out) == first) << threads << " threads";
      EXPECT_EQ(ran.report, first_counts) << threads << " threads";
    }
  }
}

// The same records as in JSONL, nulls for missing fields; the same bytes for any number of threads.
TEST_F(HostileCorpus, KeptAsParquet) {
  const std::string lines = folder_ / "lines";
  const std::vector<std::string> inputs = {folder_ / "a.jsonl", folder_ / "c.jsonl", "--shard-size", "100k"};
  auto with = [&](const std::string& output, std::vector<std::string> more) {
    std::vector<std::string> flags = inputs;
    flags.insert(flags.end(), {"--output", output});
    flags.insert(flags.end(), more.begin(), more.end());
    return run(kSteps, flags);
  };
  with(lines, {});
  std::map<std::string, std::string> first;
  for (const char* threads : {"1", "2", "8"}) {
    const std::string out = folder_ / ("parquet" + std::string(threads));
    Ran ran = with(out, {"--format", "parquet", "--threads", threads});
    EXPECT_NE(ran.message.find("kept as Parquet"), std::string::npos);
    EXPECT_EQ(ran.report["parquet"]["fields"], 3);  // id, text, extra
    EXPECT_FALSE(fs::exists(out + "/.work"));
    if (first.empty()) {
      first = outputs(out);
      EXPECT_TRUE(first.count("kept/00001.parquet"));
      EXPECT_FALSE(first.count("kept/00000.jsonl.zst"));
    }
    EXPECT_TRUE(outputs(out) == first) << threads << " threads";
  }
  std::vector<std::string> shards;
  for (const auto& [name, bytes] : first)
    if (name.starts_with("kept/")) shards.push_back(folder_ / ("parquet1/" + name));
  std::vector<json> kept = records(lines + "/kept");
  std::size_t number = 0;
  base::for_each_record(shards, {}, [&](std::string_view line, const base::Place&, const std::string&) {
    json row = json::parse(line);
    ASSERT_LT(number, kept.size());
    for (const auto& [key, value] : row.items()) EXPECT_EQ(value, kept[number].value(key, json())) << key;
    ++number;
  });
  EXPECT_EQ(number, kept.size());
}

TEST_F(HostileCorpus, NothingKeptAsParquet) {
  const std::string out = folder_ / "out";
  run("steps:\n  - gopher_quality: {min_doc_words: 1000000, max_doc_words: 0}\n",
      {folder_ / "a.jsonl", "--output", out, "--format", "parquet"});
  int rows = 0;
  base::for_each_record({out + "/kept/00000.parquet"}, {},
                        [&](std::string_view, const base::Place&, const std::string&) { ++rows; });
  EXPECT_EQ(rows, 0);
}

// Offsets in the quarantine point at the bytes.
TEST_F(HostileCorpus, QuarantineSaysWhere) {
  const std::string out = folder_ / "out";
  run("steps: []\n", {folder_ / "c.jsonl", "--output", out});
  const std::string bytes = base::read_file(folder_ / "c.jsonl");
  auto bad = records(out + "/quarantine");
  ASSERT_EQ(bad.size(), 11u);
  // The report names the same causes, whole.
  const json report = json::parse(base::read_file(out + "/report.json"));
  std::map<std::string, int> causes;
  for (const json& record : bad) ++causes[record["error"].get<std::string>()];
  EXPECT_EQ(report["errors"], json(causes));
  EXPECT_EQ(causes["no field \"text\""], 1);
  EXPECT_NE(base::read_file(out + "/report.html").find("no field &quot;text&quot;"), std::string::npos);
  for (const json& record : bad) {
    if (!record.contains("text")) continue;
    std::string text = record["text"];
    EXPECT_EQ(bytes.substr(record["offset"].get<std::size_t>(), text.size()), text) << record.dump();
  }
}

TEST_F(HostileCorpus, StopsAtMaxBad) {
  const std::string out = folder_ / "out";
  EXPECT_THROW(run(kSteps, {folder_ / "c.jsonl", "--output", out, "--max-bad", "5"}), base::Error);
  EXPECT_TRUE(fs::exists(out + "/.work/checkpoint.json"));
  Ran resumed = run(kSteps, {folder_ / "c.jsonl", "--output", out, "--resume", "--max-bad", "100"});
  EXPECT_EQ(resumed.report["quarantined"]["records"], 11);
  const std::string unbroken = folder_ / "unbroken";
  run(kSteps, {folder_ / "c.jsonl", "--output", unbroken});
  EXPECT_TRUE(outputs(out) == outputs(unbroken));
}

TEST_F(HostileCorpus, OutputFolderManners) {
  const std::string out = folder_ / "out";
  run("steps: []\n", {folder_ / "c.jsonl", "--output", out});
  EXPECT_THROW(run("steps: []\n", {folder_ / "c.jsonl", "--output", out}), base::UsageError);
  Ran again = run("steps: []\n", {folder_ / "c.jsonl", "--output", out, "--resume"});
  EXPECT_NE(again.message.find("complete already"), std::string::npos);
  run("steps: []\n", {folder_ / "c.jsonl", "--output", out, "--overwrite"});
  // run.yaml repeats the run.
  RunOptions options;
  base::OptionSet set(options);
  set.read_yaml(base::read_file(out + "/run.yaml"), out + "/run.yaml");
  EXPECT_EQ(options.reading.input, std::vector<std::string>{folder_ / "c.jsonl"});
}

// Steps behind a deduplicate see only what it kept; a second one works too. The sum stays right.
TEST_F(HostileCorpus, StepsBehindDeduplicate) {
  const std::string out = folder_ / "out", plain = folder_ / "plain";
  Ran ran =
      run("steps:\n"
          "  - c4\n"
          "  - deduplicate: {near: false}\n"
          "  - gopher_quality\n"
          "  - deduplicate: {keep: longest}\n",
          {folder_ / "a.jsonl", "--output", out});
  auto steps = ran.report["steps"];
  EXPECT_EQ(steps[2]["seen"], steps[1]["seen"].get<int>() - steps[1]["dropped"].get<int>());
  EXPECT_EQ(steps[3]["seen"], steps[2]["seen"].get<int>() - steps[2]["dropped"].get<int>());
  EXPECT_EQ(steps[3]["step"], "deduplicate#2");
  EXPECT_GT(steps[1]["dropped"], 0);
  EXPECT_GT(steps[2]["dropped"], 0);
  EXPECT_GT(steps[3]["dropped"], 0);
  // The same set as with the rule before both.
  Ran other =
      run("steps:\n"
          "  - c4\n"
          "  - gopher_quality\n"
          "  - deduplicate: {keep: longest}\n",
          {folder_ / "a.jsonl", "--output", plain});
  EXPECT_EQ(other.report["kept"]["records"], ran.report["kept"]["records"]);
}

// A sample of all records tells what the run does; a smaller one comes near; nothing is written.
TEST_F(HostileCorpus, DryRun) {
  const std::string steps = "steps:\n  - gopher_quality\n  - deduplicate\n", out = folder_ / "out";
  json whole = run(steps, {folder_ / "a.jsonl", "--output", out, "--dry-run", "100000"}).report["projection"];
  json part = run(steps, {folder_ / "a.jsonl", "--output", out, "--dry-run", "500"}).report["projection"];
  EXPECT_FALSE(fs::exists(out));
  Ran real = run("steps:\n  - gopher_quality\n", {folder_ / "a.jsonl", "--output", out});
  EXPECT_EQ(whole["kept_records"], real.report["kept"]["records"]);
  EXPECT_EQ(whole["kept_bytes"], real.report["kept"]["bytes"]);
  EXPECT_EQ(whole["kept_share_low"], whole["kept_share_high"]);
  EXPECT_EQ(part["sampled"], 500);
  EXPECT_LT(part["kept_share_low"].get<double>(), whole["kept_share"].get<double>());
  EXPECT_GT(part["kept_share_high"].get<double>(), whole["kept_share"].get<double>());
  EXPECT_LT(part["kept_share_high"].get<double>() - part["kept_share_low"].get<double>(), 0.1);
}

// With --keep-values, a sweep says what a run with another threshold really keeps.
TEST_F(HostileCorpus, SweepEqualsRunning) {
  auto steps = [](int words, double alpha) {
    return "steps:\n  - gopher_quality: {min_doc_words: " + std::to_string(words) +
           ", max_non_alpha_words_ratio: " + std::to_string(alpha) + "}\n  - fineweb\n";
  };
  const std::string out = folder_ / "out";
  json report = run(steps(100, 0.8), {folder_ / "a.jsonl", "--output", out, "--keep-values"}).report;
  auto sweep = [&](const std::string& what) { return run_sweep(out, what).report; };
  json words = sweep("gopher_quality.min_doc_words=150,50");
  EXPECT_EQ(words["fails"], "below");
  EXPECT_EQ(words["values"][1]["kept"], report["kept"]["records"]);
  for (int index : {0, 2}) {
    const int value = words["values"][index]["value"];
    const std::string other = folder_ / ("words" + std::to_string(value));
    json real = run(steps(value, 0.8), {folder_ / "a.jsonl", "--output", other}).report;
    EXPECT_EQ(words["values"][index]["kept"], real["kept"]["records"]) << value;
    EXPECT_NE(real["kept"]["records"], report["kept"]["records"]);
  }
  EXPECT_EQ(sweep("fineweb.short_line_thr=0.5")["fails"], "above");
  EXPECT_THROW(sweep("gopher_quality.min_words=3"), base::UsageError);
  EXPECT_THROW(sweep("gopher_quality.stop_words=3"), base::UsageError);
  EXPECT_THROW(sweep("nonsense"), base::UsageError);
}

// --dropped reasons leaves the text away and changes nothing else.
TEST_F(HostileCorpus, DroppedReasons) {
  std::string nameless;
  for (const std::string text : {"# # # #", "a text of its own", "a text of its own"})
    nameless += json({{"text", text}}).dump() + "\n";
  const std::string file = folder_.write("nameless.jsonl", nameless);
  auto with = [&](const std::string& name, std::vector<std::string> inputs, std::vector<std::string> flags) {
    flags.insert(flags.begin(), inputs.begin(), inputs.end());
    flags.insert(flags.end(), {"--output", folder_ / name, "--keep-values"});
    return run("steps:\n  - gopher_quality: {min_doc_words: 60}\n  - deduplicate: {keep: longest}\n", flags).report;
  };
  const std::vector<std::string> corpus = {folder_ / "a.jsonl", folder_ / "c.jsonl"};
  for (const auto& [name, inputs] : {std::pair("corpus", corpus), std::pair("nameless", std::vector{file})}) {
    const std::string full = folder_ / name, reasons = full + "-reasons";
    const json report = with(name, inputs, {});
    with(std::string(name) + "-reasons", inputs, {"--dropped", "reasons"});
    auto others = [](const std::string& folder) {
      auto files = outputs(folder);
      std::erase_if(files, [](const auto& one) { return one.first.starts_with("dropped/"); });
      return files;
    };
    EXPECT_TRUE(others(full) == others(reasons));
    const std::vector<json> all = records(full + "/dropped"), short_ones = records(reasons + "/dropped");
    ASSERT_EQ(all.size(), report["dropped"]["records"]);
    ASSERT_EQ(all.size(), short_ones.size());
    std::set<std::string> steps;
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(short_ones[i].size(), 3u) << short_ones[i].dump();
      EXPECT_EQ(short_ones[i]["hornbook"], all[i]["hornbook"]);
      EXPECT_EQ(short_ones[i]["id"], all[i].value("id", short_ones[i]["id"]));
      EXPECT_TRUE(short_ones[i]["source"].is_string());
      steps.insert(all[i]["hornbook"]["step"]);
    }
    EXPECT_EQ(steps, name == std::string("corpus") ? std::set<std::string>({"deduplicate", "gopher_quality"})
                                                   : std::set<std::string>({"gopher_quality"}));
    auto sweep = [&](const std::string& folder) {
      json values = run_sweep(folder, "gopher_quality.min_doc_words=1,100").report["values"];
      for (json& value : values) value.erase("kept_bytes");
      return values;
    };
    EXPECT_EQ(sweep(full), sweep(reasons));
    // What the run did with a document that it dropped.
    const json& last = short_ones.back();
    ExplainOptions options;
    base::OptionSet(options).read_words(std::vector<std::string>{"--run", reasons, "--id", last["id"]});
    std::ostringstream standard, err;
    base::Context context{standard, err, true, true, "", "curate"};
    EXPECT_EQ(run_explain(options, context), 0);
    const json told = json::parse(standard.str())["run"];
    EXPECT_EQ(told["folder"], "dropped");
    EXPECT_EQ(told["hornbook"], last["hornbook"]);
  }
  std::vector<std::string> ids;
  for (const json& record : records(folder_ / "nameless-reasons/dropped")) ids.push_back(record["id"]);
  EXPECT_EQ(ids, (std::vector<std::string>{"nameless.jsonl:1", "nameless.jsonl:2", "nameless.jsonl:3"}));

  EXPECT_THROW(with("broken", corpus, {"--dropped", "reasons", "--max-bad", "5"}), base::Error);
  with("broken", corpus, {"--dropped", "reasons", "--resume"});
  EXPECT_TRUE(outputs(folder_ / "broken") == outputs(folder_ / "corpus-reasons"));
}

// The near misses of a measure are the kept documents whose values lie nearest to its threshold.
TEST_F(HostileCorpus, NearMissesAreTheNearest) {
  const std::string out = folder_ / "out";
  json report = run("steps:\n  - gopher_quality\n  - fineweb\n",
                    {folder_ / "a.jsonl", "--output", out, "--keep-values", "--threads", "2"})
                    .report;
  const std::map<std::string, double> thresholds = {{"gopher_quality.gopher_short_doc", 50},
                                                    {"gopher_quality.gopher_enough_stop_words", 2},
                                                    {"gopher_quality.gopher_above_avg_threshold", 10},
                                                    {"fineweb.list_ratio", 0.3}};
  for (const auto& [measure, threshold] : thresholds) {
    std::vector<double> expected, found;
    for (const json& record : records(out + "/kept"))
      expected.push_back(std::abs(record["hornbook"]["values"][measure].get<double>() - threshold));
    std::sort(expected.begin(), expected.end());
    ASSERT_GT(expected.size(), 100u);
    expected.resize(20);
    const std::size_t dot = measure.find('.');
    for (const json& sample : report["near_misses"][measure.substr(0, dot) + ": " + measure.substr(dot + 1)])
      found.push_back(sample["margin"]);
    ASSERT_EQ(found.size(), 20u) << measure;
    for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(found[i], expected[i], 1e-5 * threshold) << measure << " " << i;
  }
  EXPECT_FALSE(report["near_misses"].contains("fineweb: empty"));
}

// What a step judges is what a reader of the output finds, and nothing that no step reads loses a record.
TEST(Run, RecordsAreDeliveredAsTheyWereJudged) {
  TemporaryFolder folder;
  const std::string big =
      R"({"id":12345678901234567890123,"data":{"text":"no address here"},"n":[1e400,-9223372036854775809]})";
  const std::string input =
      folder.write("in.jsonl", R"({"data":{"text":"ask ann@example.org"},"data":{"te\u0078t":"ask bob@example.org"}})"
                               "\n"
                               R"({"data":{"text":"ask ann@example.org","text":"ask carl@example.org","z":NaN}})"
                               "\n" +
                                   big + "\n");
  const auto lines_of = [&](const std::string& out) {
    auto reader = base::open_reader(fs::path(out) / "kept/00000.jsonl.zst");
    std::string bytes(1 << 16, ' ');
    bytes.resize(reader->read(bytes.data(), bytes.size()));
    return base::split(bytes, '\n');
  };
  for (const std::string steps : {"steps:\n  - pii\n", "steps:\n  - deduplicate\n  - pii\n"}) {
    const std::string out = folder / "out";
    const Ran ran = run(steps, {input, "--output", out, "--overwrite", "--text-field", "data.text"});
    EXPECT_EQ(ran.report["quarantined"]["records"], 0);
    EXPECT_EQ(ran.report["repeated_keys"], 2);
    EXPECT_EQ(ran.report["non_finite"], 1);
    EXPECT_NE(ran.message.find("2 records had a key twice"), std::string::npos) << ran.message;
    EXPECT_NE(ran.message.find("1 record held NaN or Infinity"), std::string::npos) << ran.message;
    EXPECT_NE(base::read_file(out + "/report.html").find("2 records had a key twice"), std::string::npos);
    const std::vector<std::string> lines = lines_of(out);
    EXPECT_EQ(lines.at(0).find("example.org"), std::string::npos) << lines[0];
    EXPECT_TRUE(lines[0].starts_with(R"({"data":{"te\u0078t":"ask )")) << lines[0];
    EXPECT_EQ(lines.at(1).find("example.org"), std::string::npos) << lines[1];
    EXPECT_NE(lines[1].find(R"(,"z":NaN})"), std::string::npos) << lines[1];
    EXPECT_TRUE(lines.at(2).starts_with(big.substr(0, big.size() - 1))) << lines[2];
  }
  const Ran ran =
      run("steps:\n  - pii\n", {input, "--output", folder / "null", "--text-field", "data.text", "--nan", "null"});
  EXPECT_NE(ran.message.find("null now"), std::string::npos) << ran.message;
  EXPECT_NE(lines_of(folder / "null").at(1).find(R"(,"z":null})"), std::string::npos);
}

// Parquet holds NaN too: its rows are judged, carried and counted as JSON's, and texts may lie in structs, as bytes
// too.
TEST(Run, ParquetIsCarriedAsJsonIs) {
  TemporaryFolder folder;
  const std::string input = HORNBOOK_SOURCE_DIR "/tests/golden/base/nested.parquet", out = folder / "out";
  const auto rows = [](const std::string& path) {
    std::vector<std::string> lines;
    base::for_each_record({path}, {}, [&](std::string_view line, const base::Place&, const std::string&) {
      lines.emplace_back(line.substr(0, line.find(",\"hornbook\"")));
    });
    return lines;
  };
  for (const char* field : {"data.body.text", "data.body.raw"}) {
    for (const char* nan : {"keep", "null"}) {
      const Ran ran = run("steps: [pii]\n", {input, "--output", out, "--overwrite", "--text-field", field, "--nan", nan,
                                             "--format", "parquet"});
      const bool raw = field == std::string("data.body.raw");  // in another column, which is never null
      EXPECT_EQ(ran.report["kept"]["records"], raw ? 3 : 2) << field;
      EXPECT_EQ(ran.report["non_finite"], raw ? 3 : 2);
      EXPECT_NE(ran.message.find("records held NaN or Infinity"), std::string::npos) << ran.message;
      const std::vector<std::string> lines = rows(out + "/kept/00000.parquet");
      const std::string& last = lines.back();
      const bool keep = nan == std::string("keep");
      EXPECT_NE(last.find(keep ? R"("score":-Infinity)" : R"("score":null)"), std::string::npos) << last;
      EXPECT_NE(last.find(keep ? R"("x":NaN)" : R"("x":null)"), std::string::npos) << last;
      EXPECT_EQ(last.find(R"("data.body":{"raw":"second text"})") != last.npos, raw) << last;
      EXPECT_EQ(run("steps: [pii]\n",
                    {out + "/kept/00000.parquet", "--output", folder / "again", "--overwrite", "--text-field", field})
                    .report["non_finite"],
                keep ? ran.report["non_finite"].get<int>() : 0);
    }
  }
}

// Records with numbers that JSON has not are read again by the commands that look at a finished run.
TEST(Run, LenientRecordsAreReadAgain) {
  TemporaryFolder folder;
  const std::string out = folder / "out";
  run("steps:\n  - gopher_quality\n", {folder.write("in.jsonl", R"({"id":"a","text":"short","n":NaN})"
                                                                "\n"
                                                                R"({"id":"b","text":"","n":1e400})"
                                                                "\n"),
                                       "--output", out, "--keep-values"});
  EXPECT_EQ(run_sweep(out, "gopher_quality.min_doc_words=1,100").report["records"], 2);
  ExplainOptions options;
  base::OptionSet(options).read_words(std::vector<std::string>{"--run", out, "--id", "a"});
  std::ostringstream standard, err;
  base::Context context{standard, err, true, true, "", "curate"};
  EXPECT_EQ(run_explain(options, context), 0);
  EXPECT_EQ(json::parse(standard.str())["run"]["folder"], "dropped");
}

}  // namespace
}  // namespace curate
