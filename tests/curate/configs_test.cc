// Every config file of curate is read without complaint, and what it becomes is read back.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "curate/presets.h"
#include "curate/report/report.h"
#include "curate/stages/run_options.h"
#include "tests/curate/run_folder.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

namespace fs = std::filesystem;

TEST(Configs, EveryOneIsRead) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(HORNBOOK_SOURCE_DIR "/configs")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("curate-")) continue;
    ++count;
    RunOptions options, again;
    base::OptionSet set(options), set_again(again);
    set.read_yaml(base::read_file(entry.path()), entry.path().string());
    EXPECT_FALSE(options.steps.empty()) << name;
    if (options.output.empty()) options.output = "out";
    set_again.read_yaml(set.to_yaml(), "run.yaml");
    EXPECT_EQ(set_again.to_yaml(), set.to_yaml()) << name;
  }
  EXPECT_GE(count, 2);
  EXPECT_EQ(presets().count("textbook"), 1u);
  EXPECT_EQ(presets().at("textbook"), base::read_file(HORNBOOK_SOURCE_DIR "/configs/curate-textbook.yaml"));
}

TEST(ReportHtml, IsSelfContainedAndEscapes) {
  RunOptions options;
  base::OptionSet set(options);
  set.read_yaml("steps:\n  - gopher_quality\n", "x.yaml");
  Statistics statistics;
  const std::string evil = "<script src=\"http://x\">&";
  statistics.read = {10, 100};
  statistics.kept = {1, 10};
  statistics.dropped = {9, 90};
  statistics.steps["gopher_quality"].seen = {10, 100};
  statistics.steps["gopher_quality"].dropped = {9, 90};
  statistics.steps["gopher_quality"].reasons["gopher_short_doc"] = 9;
  statistics.sources[evil].read = {10, 100};
  statistics.sources[evil].kept = {1, 10};
  statistics.scores["textbook"].add(0.75);
  statistics.clusters[3] = 1;
  Statistics::add_sample(statistics.samples, "gopher_quality: gopher_short_doc", {evil, evil, evil}, evil);
  Statistics::add_sample(statistics.samples, "kept", {"id", "source", "A text to read."}, "");
  nlohmann::json report = make_report(options, {{evil}, {{"text", "id", "", ""}}, {}, {}, 2, 1.5}, statistics);
  EXPECT_EQ(statistics_from_json(to_json(statistics)).samples.size(), 2u);
  const std::string html = report_html(report);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("http://"), html.find("http://x&quot;"));
  EXPECT_NE(html.find("1 source loses more than 80 %"), std::string::npos);
  EXPECT_NE(html.find("A text to read."), std::string::npos);
}

// A sample does not depend on how the documents were divided.
TEST(Statistics, SamplesAndSums) {
  Statistics whole, left, right;
  for (int i = 0; i < 200; ++i) {
    const std::string id = "document " + std::to_string(i);
    Statistics::add_sample(whole.samples, "kept", {id, "s", "text"}, "");
    Statistics::add_sample((i % 3 ? left : right).samples, "kept", {id, "s", "text"}, "");
    Statistics::add_sample(whole.near_misses, "a: b", {id, "s", "text"}, "", i * 37 % 50);
    Statistics::add_sample((i % 3 ? left : right).near_misses, "a: b", {id, "s", "text"}, "", i * 37 % 50);
  }
  right.add(left);
  EXPECT_EQ(whole.near_misses["a: b"].front().margin, 0);
  EXPECT_EQ(whole.near_misses["a: b"].back().margin, 4);  // four of each
  ASSERT_EQ(whole.samples["kept"].size(), Specimen::kPerGroup);
  EXPECT_EQ(to_json(whole), to_json(right));
}

// However many sources there are, the table is bounded, the largest are in it, and it adds up.
TEST(Statistics, SourcesAndErrorsAreBounded) {
  Statistics all;
  const auto block = [](auto&& fill) {
    Statistics statistics;
    fill(statistics);
    return statistics;
  };
  const std::uint64_t blocks = 200, fresh = 500;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    all.add(block([&](Statistics& s) {
      s.sources["large"].read = {100, 1000};
      for (std::uint64_t j = 0; j < fresh; ++j) s.sources[std::to_string(i * fresh + j)].read.add(10);
      for (std::uint64_t j = 0; j < 20; ++j) s.errors["not valid at byte " + std::to_string(i * 20 + j)] = 1;
    }));
    ASSERT_LE(all.sources.size(), 2 * Statistics::kMostSources);
  }
  EXPECT_EQ(all.sources["large"].read.records, 100 * blocks);
  // A later stage decides about all of them; nothing is listed as kept that is not listed as read.
  for (std::uint64_t i = 0; i < blocks; ++i)
    all.add(block([&](Statistics& s) {
      s.sources["large"].kept = {50, 500};
      s.sources["large"].dropped["deduplicate"] = 50;
      for (std::uint64_t j = 0; j < fresh; ++j) s.sources[std::to_string(i * fresh + j)].kept.add(10);
    }));
  all.limit_sources(Statistics::kMostSources);
  ASSERT_EQ(all.sources.size(), Statistics::kMostSources);
  EXPECT_EQ(all.sources["large"].dropped["deduplicate"], 50 * blocks);
  std::uint64_t read = all.other_sources.read.records, kept = all.other_sources.kept.records;
  for (const auto& [name, source] : all.sources) {
    EXPECT_LE(source.kept.records, source.read.records) << name;
    read += source.read.records;
    kept += source.kept.records;
  }
  EXPECT_EQ(read, blocks * (fresh + 100));
  EXPECT_EQ(kept, blocks * (fresh + 50));
  EXPECT_EQ(all.errors.size(), Statistics::kMostErrors + 1);
  EXPECT_EQ(all.errors[Statistics::kOtherErrors], blocks * 20 - Statistics::kMostErrors);
  EXPECT_EQ(to_json(statistics_from_json(to_json(all))), to_json(all));
}

// The report has a row for the others, and the terminal a line.
TEST(Report, NamesTheOtherSources) {
  TemporaryFolder folder;
  std::string lines;
  const std::size_t most = Statistics::kMostSources;
  for (std::size_t i = 0; i < most + 5; ++i)
    for (int times = 0; times < (i == 7 ? 3 : 1); ++times)
      lines += json({{"text", "word"}, {"source", "domain" + std::to_string(i)}}).dump() + "\n";
  const std::string input = folder.write("x.jsonl", lines);
  json first;
  for (const char* threads : {"1", "3"}) {
    const Ran ran = run("steps: []\n", {input, "--output", folder / threads, "--threads", threads});
    EXPECT_EQ(ran.report["sources"].size(), most);
    EXPECT_EQ(ran.report["sources"]["domain7"]["read"]["records"], 3);
    EXPECT_EQ(ran.report["other_sources"]["read"]["records"], 5);
    EXPECT_NE(ran.message.find("all others together: 5 read, 5 kept"), std::string::npos);
    EXPECT_NE(base::read_file(folder / threads + "/report.html").find("(all others together)"), std::string::npos);
    if (first.is_null()) first = ran.report["sources"];
    EXPECT_EQ(ran.report["sources"], first);
  }
}

}  // namespace
}  // namespace curate
