// report.html: what stands in it, that hostile texts stay texts, that it asks nobody for anything.
#include "finetune/train/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>

#include "base/file.h"
#include "finetune/train/chart.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::EvaluationMetrics;
using finetune::ReportFacts;
using finetune::Sample;
using finetune::StepMetrics;
using testing::HasSubstr;
using testing::Not;

std::vector<StepMetrics> steps_of(std::int64_t count) {
  std::vector<StepMetrics> steps;
  for (std::int64_t i = 1; i <= count; ++i) {
    StepMetrics step;
    step.step = i;
    step.loss = 3.0 / std::sqrt(static_cast<double>(i)) + 0.2 * std::sin(static_cast<double>(i * i));
    step.learning_rate = 1e-4;
    step.gradient_norm = 1;
    step.tokens = 1000;
    step.trained_tokens = 600;
    step.tokens_per_second = 400;
    step.peak_memory = 1'200'000'000;
    steps.push_back(step);
  }
  return steps;
}

std::vector<EvaluationMetrics> two_evaluations() { return {{0, 3.25, 25.8, 100}, {40, 2.125, 8.37, 100}}; }

ReportFacts facts() {
  finetune::DataReport report;
  report.read = 70;
  report.used = 60;
  report.too_long = 12;
  report.bad = 3;
  report.examples = 60;
  report.tokens = 8000;
  report.trained_tokens = 2000;
  ReportFacts facts{{{"training data", report}}, {{"processor", "A <processor>"}, {"threads", "2"}}};
  for (const std::size_t tokens : {1, 2, 3, 4, 5, 100}) finetune::count_length(facts.data[0].lengths, tokens);
  return facts;
}

TEST(Report, HasAllThatARunTells) {
  const std::string page =
      report_html(facts(), steps_of(40), two_evaluations(),
                  {{0, "Why?", "untrained words"}, {20, "Why?", "words between"}, {40, "Why?", "trained words"}},
                  "40 steps, last loss 2.1", "model: here\nseed: 42\n");
  for (const char* text : {"40 steps, last loss 2.1",
                           "2.1250",
                           "3.2500",
                           "8.37",
                           "untrained words",
                           "trained words",
                           "Learning rate",
                           "Norm of the gradient",
                           "Tokens per second",
                           "Peak memory",
                           "smoothed over",
                           "each step",
                           "records read",
                           "25.0 %",
                           "A &lt;processor&gt;",
                           "seed: 42",
                           "1.2 GB",
                           "before",
                           "after step 40",
                           "prefers-color-scheme:dark",
                           "width=device-width"})
    EXPECT_THAT(page, HasSubstr(text)) << text;
  EXPECT_THAT(page, Not(HasSubstr("words between")));
  EXPECT_THAT(page, Not(HasSubstr("Rewards")));
  EXPECT_THAT(page, HasSubstr("<td class=name>longer than a row (cut, split or dropped)<td>12"));
}

TEST(Report, ShowsWhatTheResultWrites) {
  const auto page = [](std::optional<std::int64_t> result) {
    return report_html(facts(), steps_of(40), two_evaluations(),
                       {{0, "Why?", "untrained words"}, {20, "Why?", "words between"}, {40, "Why?", "last words"}}, "",
                       "", result);
  };
  EXPECT_THAT(page(20), HasSubstr("<h3>after step 20, the result</h3><pre>words between</pre>"));
  EXPECT_THAT(page(20), Not(HasSubstr("last words")));
  EXPECT_THAT(page(30), HasSubstr("<h3>after step 40</h3><pre>last words</pre>")) << "it has none of its own";
}

TEST(Report, AsksNobodyForAnythingAndHostileTextsStayTexts) {
  const std::string evil = "</pre><script>alert(1)</script><img src=http://x/ onerror=\"a\">\x01\xff & \"'";
  ReportFacts made = facts();
  made.data[0].name = evil;
  made.hardware.emplace_back(evil, evil);
  EvaluationMetrics evaluation{4, 1, std::nullopt, 3, {{"rewards/" + evil, 1}}};
  const std::string page =
      finetune::report_html(made, steps_of(3), {evaluation}, {{0, evil, evil}, {3, evil, evil}}, evil, evil);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
  EXPECT_EQ(page.find('\x01'), std::string::npos);
  EXPECT_FALSE(std::regex_search(page, std::regex("<[^>]*(src|href|url)\\s*[=(]")));
  EXPECT_THAT(page, Not(HasSubstr("@import")));
}

TEST(Report, OfPreferencesShowsRewardsAndNoPerplexity) {
  ReportFacts made = facts();
  made.has_rewards = true;
  std::vector<StepMetrics> steps = steps_of(3);
  for (StepMetrics& step : steps)
    step.figures = {
        {"rewards/chosen", 0.5}, {"rewards/rejected", -0.5}, {"rewards/margins", 1}, {"rewards/accuracies", 0.75}};
  const std::string page = report_html(
      made, steps, {{3, 0.5, std::nullopt, 9, {{"rewards/margins", 1.5}, {"rewards/chosen", -NAN}}}}, {}, "", "");
  EXPECT_THAT(page, testing::AllOf(HasSubstr("<td>&ndash;"), Not(HasSubstr("nan"))));
  for (const char* text :
       {"Rewards while training", "Margin of the rewards", "Share of pairs told apart", "rewards/margins"})
    EXPECT_THAT(page, HasSubstr(text));
  EXPECT_THAT(page, Not(HasSubstr("perplexity")));
  EXPECT_THAT(page, Not(HasSubstr("nats")));
}

TEST(Report, OfARunWithoutStepsStands) {
  const std::string page = finetune::report_html({}, {}, {}, {}, "nothing yet", "");
  EXPECT_THAT(page, HasSubstr("nothing yet"));
  EXPECT_THAT(page, HasSubstr("</html>"));
  EXPECT_THAT(page, Not(HasSubstr("<svg")));
  const std::string one = finetune::report_html({}, steps_of(1), {}, {}, "", "");
  EXPECT_THAT(one, HasSubstr("<svg"));
  EXPECT_THAT(one, Not(HasSubstr("nan")));
}

TEST(Report, StaysSmallInALongRun) {
  EXPECT_LT(finetune::report_html(facts(), steps_of(200'000), two_evaluations(), {}, "", "").size(), 300'000u);
}

TEST(Report, ReadsTheSamplesThatAreWhole) {
  const TemporaryFolder folder;
  EXPECT_TRUE(finetune::read_samples(folder.path()).empty());
  base::write_file(folder / "samples.jsonl",
                   "{\"step\":0,\"prompt\":\"P\",\"text\":\"T\"}\n\n[1]\n{\"step\":\"0\",\"prompt\":1}\n"
                   "{\"step\":5,\"prompt\":\"P\",\"text\":\"U\",\"more\":1}\n{\"step\":6,\"pro");
  const std::vector<Sample> samples = finetune::read_samples(folder.path());
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[1].step, 5);
  EXPECT_EQ(samples[1].text, "U");
}

TEST(Report, CountsLengthsInColumnsThatDouble) {
  EXPECT_EQ(facts().data[0].lengths, (std::vector<std::uint64_t>{1, 1, 2, 1, 0, 0, 0, 1}));
}

TEST(Chart, SmoothedIsAMeanOfWhatCameBefore) {
  const auto smooth = finetune::smoothed({{1, 1}, {2, 1}, {3, 1}, {4, 7}}, 3);
  EXPECT_DOUBLE_EQ(smooth[0].value, 1);
  EXPECT_DOUBLE_EQ(smooth[2].value, 1);
  EXPECT_DOUBLE_EQ(smooth[3].value, (0.125 + 0.25 + 0.5 + 7) / 1.875);
  EXPECT_EQ(smooth[3].step, 4);
  // Steps without a figure, as those of KTO that have no answer of one kind, are passed over.
  const auto rest = finetune::smoothed({{1, NAN}, {2, 1}, {3, NAN}, {4, 7}}, 3);
  ASSERT_EQ(rest.size(), 2U);
  EXPECT_DOUBLE_EQ(rest[1].value, (0.5 + 7) / 1.5);
  EXPECT_EQ(rest[1].step, 4);
}

TEST(Report, OfFiguresThatNotEveryStepHasShowsThemAll) {
  ReportFacts made = facts();
  made.has_rewards = true;
  std::vector<StepMetrics> steps = steps_of(40);
  for (std::size_t i = 1; i < steps.size(); ++i)
    steps[i].figures = {{i % 4 == 1 ? "rewards/rejected" : "rewards/chosen", static_cast<double>(i)}};
  const std::string page = report_html(made, steps, {}, {}, "", "");
  const std::string figure = page.substr(page.find("Rewards while training"));
  const std::string shown = figure.substr(0, figure.find("</figure>"));
  EXPECT_THAT(shown, HasSubstr("chosen"));
  EXPECT_THAT(shown, HasSubstr("rejected"));
}

TEST(Chart, OfEqualValuesEnds) {
  for (const double value : {0.0, 1.0, -3e-7, 1e9}) {
    const double beside{value * (1 + 1e-15)};
    EXPECT_LT(finetune::chart("t", {{"a", "one", {{1, value}, {2, beside}, {3, value}}}}).size(), 3000u);
  }
}

TEST(Chart, LeavesOutWhatIsNoNumber) {
  const double nan = std::nan("");
  EXPECT_EQ(finetune::chart("t", {{"a", "one", {{1, nan}}}}), "");
  EXPECT_THAT(finetune::chart("t", {{"a", "one", {{1, nan}, {2, 3}, {3, 4}}}}), Not(HasSubstr("nan")));
}

}  // namespace
