// The report's page, `curate report --sweep` given more than once, and on which side of a threshold `explain` stands.
#include "curate/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "curate/explain.h"
#include "curate/report_command.h"
#include "tests/curate/run_folder.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST(Report, BarsKnowTheQuarantine) {
  TemporaryFolder folder;
  std::string data;
  for (int i = 0; i < 14; ++i) data += line(std::to_string(i), "short");
  for (int i = 0; i < 100; ++i) data += "{\"id\": broken\n";
  const std::string file = folder.write("data.jsonl", data);
  run_with_losses("steps:\n  - gopher_quality\n", {file, "--output", folder / "out"});
  const std::string page = base::read_file(folder / "out/report.html");
  EXPECT_THAT(
      page,
      HasSubstr("gopher_short_doc<td>14<td>12.3 %<td class=wide><span class=\"bar drop\" style=\"width:14.00%\">"));
  EXPECT_THAT(
      page, ContainsRegex(
                "quarantine: [^<]*<td>100<td>87.7 %<td class=wide><span class=\"bar drop\" style=\"width:100.00%\">"));
}

TEST(Report, CountsAreNoScores) {
  TemporaryFolder folder;
  std::string data, many;
  for (int i = 0; i < 9; ++i) many += "mail a" + std::to_string(i) + "@example.org now. ";
  data = line("1", many) + line("2", many) + line("3", "one to me@example.org");
  const std::string file = folder.write("data.jsonl", data);
  const json report = run("steps:\n  - pii\n", {file, "--output", folder / "out"}).report;
  EXPECT_FALSE(report["scores"].contains("pii_email"));
  const json& counts = report["counts"]["pii_email"];
  EXPECT_EQ(counts[0], 1);  // 1
  EXPECT_EQ(counts[3], 2);  // 8 to 15
  EXPECT_THAT(base::read_file(folder / "out/report.html"), HasSubstr("<b>pii_email</b>"));
}

TEST(Report, EverySweepIsHonoured) {
  TemporaryFolder folder;
  base::Random random(2);
  std::string data;
  for (int i = 0; i < 30; ++i) data += line(std::to_string(i), words(random, 20 + i * 5));
  const std::string file = folder.write("data.jsonl", data), out = folder / "out";
  run("steps:\n  - gopher_quality\n", {file, "--output", out, "--keep-values"});
  ReportOptions options;
  base::OptionSet set(options);
  set.read_words({out, "--sweep", "gopher_quality.min_doc_words=100", "--sweep", "gopher_quality.min_stop_words=3,4"});
  std::ostringstream printed, err;
  base::Context context{printed, err, false, true, "", "curate"};
  EXPECT_EQ(run_report(options, context), 0);
  EXPECT_THAT(err.str(), HasSubstr("gopher_quality.min_doc_words (a document fails below it)"));
  EXPECT_THAT(err.str(), HasSubstr("gopher_quality.min_stop_words (a document fails below it)"));
  const json all = json::parse(printed.str());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["sweep"], "gopher_quality.min_doc_words");
  EXPECT_EQ(all[1]["values"].size(), 3u);
}

TEST(Explain, SaysWhichSideOfAThresholdFails) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 60; ++i) text += "a be to of # # ";
  const std::string file = folder.write("data.jsonl", line("1", text));
  auto explained = [&](bool as_json) {
    ExplainOptions options;
    base::OptionSet set(options);
    set.read_yaml("steps:\n  - gopher_quality\n  - fineweb: {line_punct_exclude_zero: true}\n", "config.yaml");
    set.read_words({file});
    std::ostringstream out, err;
    base::Context context{out, err, false, as_json, "", "curate"};
    run_explain(options, context);
    return out.str();
  };
  const std::string said = explained(false);
  EXPECT_THAT(said, ContainsRegex("gopher_below_avg_threshold +1.75 < 3 \\(min\\)  <- fails"));
  EXPECT_THAT(said, ContainsRegex("gopher_too_many_hashes +0.333333 > 0.1 \\(max\\)  <- fails"));
  EXPECT_THAT(said, ContainsRegex("gopher_above_avg_threshold +1.75 < 10 \\(max\\)\n"));
  EXPECT_THAT(said, ContainsRegex("line_punct_ratio +0 < 0.12 \\(min\\)\n"));  // an exception of the rule
  const json measures = json::parse(explained(true))["steps"][0]["measures"];
  EXPECT_EQ(measures[2]["limit"], "min");
  EXPECT_EQ(measures[3]["limit"], "max");
  // What was dropped, in the report too.
  const json report = run("steps:\n  - gopher_quality\n", {file, "--output", folder / "out"}).report;
  EXPECT_EQ(report["samples"]["gopher_quality: gopher_below_avg_threshold"][0]["note"], "1.75 < 3");
}

}  // namespace
}  // namespace curate
