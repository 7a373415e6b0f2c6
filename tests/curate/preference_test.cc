// Which copies a run keeps by scores, dates and sources, and what it says where these are lacking.
#include <gmock/gmock.h>

#include "tests/curate/run_folder.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Preferences : public ::testing::Test {
 protected:
  // Copies of one text with these other members, ids from 0 on.
  std::string copies(const std::vector<std::string>& members) {
    std::string lines;
    for (std::size_t i = 0; i < members.size(); ++i)
      lines += "{\"id\":" + std::to_string(i) + ",\"text\":\"one text that stands here several times\"" +
               (members[i].empty() ? "" : "," + members[i]) + "}\n";
    return folder_.write("a.jsonl", lines);
  }
  // Steps in YAML, one a line.
  Ran run_steps(const std::string& input, const std::vector<std::string>& steps) {
    std::string config = "steps:\n";
    for (const std::string& step : steps) config += "  - " + step + "\n";
    fs::remove_all(out_);
    return run(config, {input, "--output", out_});
  }
  json kept() const {
    const auto all = records(out_ + "/kept");
    EXPECT_EQ(all.size(), 1u);
    return all.at(0)["id"];
  }

  TemporaryFolder folder_;
  const std::string out_ = folder_ / "out";
};

TEST_F(Preferences, NewestIsTheLastMoment) {
  const std::string newest = "deduplicate: {keep: newest}";
  run_steps(copies({R"("date":"2024-01-02T10:00:00+05:00")", R"("date":"2024-01-02T06:00:00Z")"}), {newest});
  EXPECT_EQ(kept(), 1);
  run_steps(copies({R"("date":"2024-10-1")", R"("date":"2024-9-1")"}), {newest});
  EXPECT_EQ(kept(), 0);
  run_steps(copies({R"("date":10)", R"("date":5.5)"}), {newest});
  EXPECT_EQ(kept(), 0);
  run_steps(copies({R"("date":"Mon, 1 Jan 2024 10:00:00 GMT")", R"("date":"2023-12-31")"}), {newest});
  EXPECT_EQ(kept(), 0);
}

TEST_F(Preferences, DatesThatAreLackingAreCountedAndNamed) {
  const Ran ran = run_steps(copies({R"("date":"12/31/2029")", R"("date":"1970-01-01")", "", R"("date":"soon")"}),
                            {"deduplicate: {keep: newest}"});
  EXPECT_EQ(kept(), 1);
  const std::string odd =
      "2 documents with a date that is not understood, kept behind all others; the first: 0: '12/31/2029'";
  const std::string none = "1 document with no date, kept behind all others; the first: 2";
  EXPECT_THAT(ran.message, AllOf(HasSubstr("deduplicate: " + odd), HasSubstr("deduplicate: " + none)));
  EXPECT_EQ(ran.report["unranked"]["deduplicate"]["no date"]["documents"], 1);
  EXPECT_THAT(ran.report["notes"].dump(), AllOf(HasSubstr(odd), HasSubstr(none)));
  EXPECT_THAT(base::read_file(out_ + "/report.html"), HasSubstr("a date that is not understood"));
}

TEST_F(Preferences, ScoresThatRecordsCarryCount) {
  const std::string best = "deduplicate: {keep: best_score}";
  const Ran ran = run_steps(copies({R"("hornbook":{"textbook":0.1})", R"("hornbook":{"textbook":0.9})", "",
                                    R"("hornbook":{"textbook":"0.95"})"}),
                            {best});
  EXPECT_EQ(kept(), 1);
  EXPECT_THAT(ran.message, HasSubstr("2 documents with no such score, kept behind all others; the first: 2"));
  // A step before it knows better.
  const Ran scored = run_steps(copies({"", R"("hornbook":{"textbook":0.9})"}), {"textbook: {min_score: 0}", best});
  EXPECT_TRUE(scored.report["unranked"].empty());
}

TEST_F(Preferences, ScoresThatNobodyGivesAreRefused) {
  const std::string without = copies({"", R"("textbook":1)"});
  EXPECT_THAT(error_of([&] { run_steps(without, {"deduplicate: {keep: best_score}"}); }),
              AllOf(HasSubstr("deduplicate.score"), HasSubstr("textbook"), HasSubstr("do not carry it")));
  EXPECT_THAT(error_of([&] {
                run_steps(without, {"textbook", "deduplicate: {keep: best_score, score: txtbook}"});
              }),
              HasSubstr("did you mean 'textbook'?"));
  EXPECT_THAT(error_of([&] {
                run_steps(without, {"deduplicate: {keep: best_score}", "textbook"});
              }),
              HasSubstr("do not carry it"));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(Preferences, SourcesAreNeededAndNamedWhereTheyNeverCome) {
  const std::string input = copies({R"("source":"web")", R"("source":"book")"});
  EXPECT_THAT(error_of([&] { run_steps(input, {"deduplicate: {keep: source_order}"}); }),
              AllOf(HasSubstr("deduplicate.sources"), HasSubstr("keep: source_order")));
  Ran ran = run_steps(input, {"deduplicate: {keep: source_order, sources: [book, web]}"});
  EXPECT_EQ(kept(), 1);
  EXPECT_THAT(ran.message, Not(HasSubstr("no record comes")));
  ran = run_steps(input, {"deduplicate: {keep: source_order, sources: [bok, web, news]}"});
  EXPECT_EQ(kept(), 0);
  EXPECT_THAT(ran.message, HasSubstr("deduplicate: no record comes from these sources: bok, news"));
  EXPECT_THAT(ran.report["notes"].dump(), HasSubstr("bok, news"));
}

}  // namespace
}  // namespace curate
