// The language and textbook steps, and training the textbook model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "curate/scorer/scorer_text.h"
#include "curate/steps/language.h"
#include "curate/steps/textbook.h"
#include "curate/text/models.h"
#include "curate/train_scorer.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using curate::Document;
using curate::Verdict;
using testing::HasSubstr;

// The model is fetched, not committed: scripts/install.sh.
const fs::path kLanguageModel = HORNBOOK_SOURCE_DIR "/build/data/lid.176.ftz";

TEST(Language, KeepsWhatIsAboveTheThreshold) {
  ASSERT_TRUE(fs::exists(kLanguageModel)) << "run scripts/install.sh";
  curate::Language step;
  step.model = kLanguageModel;
  step.prepare();
  Document document;
  auto apply = [&](std::string_view text) {
    document.reset(text, "", "");
    return step.apply(document);
  };
  EXPECT_TRUE(apply("This is a plain English sentence,\nwith a second line that is English too.").keep);
  EXPECT_EQ(document.labels().at(0).second, "en");
  double score = document.scores().at(0).second;
  EXPECT_GT(score, 0.65);
  Verdict german = apply("Das ist ein ganz gewöhnlicher deutscher Satz, und er ist nicht englisch.");
  EXPECT_FALSE(german.keep);
  EXPECT_EQ(german.reason, "language");
  EXPECT_EQ(document.labels().at(0).second, "de");

  step.min_score = score;  // strictly above
  EXPECT_FALSE(apply("This is a plain English sentence,\nwith a second line that is English too.").keep);
  step.keep = {"de", "fr"};
  step.min_score = 0.65;
  step.prepare();
  EXPECT_TRUE(apply("Das ist ein ganz gewöhnlicher deutscher Satz, und er ist nicht englisch.").keep);
  step.keep = {};
  step.prepare();
  EXPECT_TRUE(apply("This is a plain English sentence, with a second part that is English too.").keep);
  EXPECT_FALSE(apply("").keep);
}

TEST(Language, SaysWhatIsMissingAndHowToGetIt) {
  curate::Language step;
  step.model = "/nowhere/lid.176.ftz";
  EXPECT_THAT(error_of([&] { step.prepare(); }), HasSubstr("scripts/install.sh"));
  ASSERT_TRUE(fs::exists(kLanguageModel)) << "run scripts/install.sh";
  step.model = kLanguageModel;
  step.keep = {"english"};
  EXPECT_THAT(error_of([&] { step.prepare(); }), HasSubstr("english"));
  EXPECT_THAT(error_of([] { curate::find_model("", "no-such.ftz", "textbook.model", "train one"); }),
              testing::AllOf(HasSubstr("no-such.ftz"), HasSubstr("share/hornbook/models"), HasSubstr("train one")));
  TemporaryFolder folder;
  base::write_file(folder / "some.ftz", "x");
  setenv("HORNBOOK_MODELS", (folder / "").c_str(), 1);
  EXPECT_EQ(curate::find_model("", "some.ftz", "o", "a").filename(), "some.ftz");
  unsetenv("HORNBOOK_MODELS");
}

TEST(ScorerText, OneLineOfTokens) {
  std::string line;
  curate::scorer_text("Hello, World!\n\tNumber 42 — naïve_x", line);
  EXPECT_EQ(line, "hello , world ! number 00 — naïve_x");
  curate::scorer_text(" \n ", line);
  EXPECT_EQ(line, "");
  std::string text(3000, 'a');
  text += std::string(4000, 'b');  // 7,000: 2,500 from the middle on
  curate::scorer_text(text, line);
  EXPECT_EQ(line, std::string(2500, 'b'));
}

// Textbook sentences and log lines of several sources.
void write_corpus(const fs::path& path) {
  base::Random random(5);
  const std::vector<std::string> good = {"therefore", "we", "explain", "the",   "idea",
                                         "because",   "an", "example", "shows", "why"};
  const std::vector<std::string> bad = {"error",     "0x7f", "daemon", "restart", "pid",
                                        "changelog", "null", "warn",   "exit",    "bin"};
  std::ofstream out(path);
  for (int i = 0; i < 600; ++i) {
    bool is_good = i % 2;
    std::string text;
    for (int w = 0; w < 40; ++w) {
      const auto& list = random.below(10) < 8 ? (is_good ? good : bad) : (is_good ? bad : good);
      text += list[random.below(list.size())] + " ";
    }
    nlohmann::json record = {{"id", i},
                             {"text", text},
                             {"quality", is_good ? 3 : 0},
                             {"lang", i % 10 == 9 ? "de" : "en"},
                             {"source", "s" + std::to_string(i % 12)}};
    out << record.dump() << "\n";
  }
  out << R"({"text":"neither","quality":1,"source":"s1","lang":"en"})"
      << "\n{broken\n";
}

curate::TrainScorerOptions options_for(const fs::path& corpus, const fs::path& model) {
  curate::TrainScorerOptions options;
  options.input = {corpus.string()};
  options.output = model.string();
  options.kind = "fasttext";
  options.where = {"lang=en"};
  options.buckets = 2000;
  options.dimension = 8;
  options.epochs = 5;
  options.quantise = false;
  return options;
}

std::string run(curate::TrainScorerOptions options, bool json) {
  base::Command command = curate::train_scorer_command();
  base::Command::Bound bound = command.bind();
  *static_cast<curate::TrainScorerOptions*>(bound.options.get()) = std::move(options);
  std::ostringstream out, err;
  base::Context context{out, err, true, json, "", "curate"};
  EXPECT_EQ(bound.run(context), 0);
  return out.str();
}

TEST(TrainScorer, LearnsAndMeasuresOnWhatItHasNotSeen) {
  TemporaryFolder folder;
  write_corpus(folder / "corpus.jsonl");
  nlohmann::json result = nlohmann::json::parse(run(options_for(folder / "corpus.jsonl", folder / "model.bin"), true));
  EXPECT_EQ(result["good"], 240);  // every tenth record is German, and those are good ones
  EXPECT_EQ(result["bad"], 300);
  EXPECT_GT(result["unseen_documents"]["auc"], 0.95);
  EXPECT_GT(result["unseen_groups"]["auc"], 0.95);
  EXPECT_GT(result["unseen_groups"]["good"].get<int>() + result["unseen_groups"]["bad"].get<int>(), 20);
  EXPECT_FALSE(result["calibration"].empty());

  std::string first = base::read_file(folder / "model.bin");
  run(options_for(folder / "corpus.jsonl", folder / "model.bin"), false);
  EXPECT_EQ(first, base::read_file(folder / "model.bin")) << "the same records, the same model";

  curate::Textbook step;
  step.model = folder / "model.bin";
  step.prepare();
  Document document;
  std::string good = "We explain the idea, because an example shows why.",
              bad = "daemon restart: pid 0x7f exit null, error";
  document.reset(good, "", "");
  EXPECT_TRUE(step.apply(document).keep);
  double high = document.scores().at(0).second;
  document.reset(bad, "", "");
  Verdict verdict = step.apply(document);
  EXPECT_EQ(verdict.reason, "textbook");
  EXPECT_EQ(verdict.threshold, 0.5);
  EXPECT_LT(document.scores().at(0).second, high);
  EXPECT_LE(high, 1.0);

  step.good = {"good=0.5", "bad=0.5"};
  step.prepare();
  document.reset(good, "", "");
  step.apply(document);
  EXPECT_NEAR(document.scores().at(0).second, 0.5, 1e-4);
  for (const char* weight : {"nan", "inf", "-inf", "1e999", "x", ""}) {
    step.good = {"good=" + std::string(weight)};
    EXPECT_THAT(error_of([&] { step.prepare(); }), HasSubstr("not a weight")) << weight;
  }
  for (const char* weight : {"2", "-1", "1.01"}) {
    step.good = {"bad=0.5", "good=" + std::string(weight)};
    EXPECT_THAT(error_of([&] { step.prepare(); }), HasSubstr("divide all weights")) << weight;
  }
  step.good = {"good=2", "bad=1"};
  step.min_score = 1.5;
  EXPECT_THAT(error_of([&] { step.prepare(); }), HasSubstr("and min_score, by the largest"));
  step.good = {"good=0.5"};
  step.min_score = 0.75;
  EXPECT_THAT(error_of([&] { step.prepare(); }), HasSubstr("no document can reach"));
  step.min_score = 0.5;
  step.good = {"splendid"};
  EXPECT_THAT(error_of([&] { step.prepare(); }), HasSubstr("splendid"));
}

TEST(TrainScorer, QuantisedModelsAreSmallAndAgree) {
  TemporaryFolder folder;
  write_corpus(folder / "corpus.jsonl");
  curate::TrainScorerOptions options = options_for(folder / "corpus.jsonl", folder / "model.ftz");
  options.quantise = true;
  options.max_rows = 400;
  nlohmann::json result = nlohmann::json::parse(run(options, true));
  EXPECT_LT(result["bytes"], 40000);
  EXPECT_GT(result["unseen_groups"]["auc"], 0.9);
}

TEST(TrainScorer, CountsWhatCannotBeRead) {
  TemporaryFolder folder;
  write_corpus(folder / "corpus.jsonl");
  std::ofstream(folder / "corpus.jsonl", std::ios::app) << "{\"text\": \"cut\n[1]\n\n{\"other\": 1}\n";
  const curate::LabelledRecords records =
      curate::read_labelled(options_for(folder / "corpus.jsonl", folder / "model.ftz"));
  EXPECT_EQ(records.texts.size(), 540u);
  EXPECT_EQ(records.losses.size(), 0u);
  EXPECT_EQ(records.unreadable, 3u) << "with the corpus' own; a record of other fields can be read";
}

TEST(TrainScorer, RefusesWhatTeachesNothing) {
  TemporaryFolder folder;
  write_corpus(folder / "corpus.jsonl");
  curate::TrainScorerOptions options = options_for(folder / "corpus.jsonl", folder / "model.ftz");
  options.good = {"7"};
  EXPECT_THAT(error_of([&] { run(options, true); }), HasSubstr("records of both kinds"));
  options.where = {"lang"};
  EXPECT_THAT(error_of([&] { run(options, true); }), HasSubstr("FIELD=VALUE"));
}

TEST(TrainScorer, AllGoodDocumentsInAHeldOutGroup) {
  TemporaryFolder folder;
  const std::string filler = " and some words that stand in every document of this corpus";
  for (int seed = 1; seed < 20; ++seed) {  // some seeds hold the only good group out
    std::ofstream out(folder / "corpus.jsonl");
    for (int i = 0; i < 60; ++i) {
      const bool good = i % 4 == 0;
      out << nlohmann::json({{"text", "document " + std::to_string(i) + filler},
                             {"quality", good ? 2 : 0},
                             {"source", good ? "only" : "other" + std::to_string(i % 7)}})
          << "\n";
    }
    out.close();
    curate::TrainScorerOptions options = options_for(folder / "corpus.jsonl", folder / "model.ftz");
    options.where.clear();
    options.seed = seed;
    options.unseen_groups = 0.5;
    options.held_out = 0;
    const std::string error = error_of([&] { run(options, true); });
    if (error == "no error") continue;
    EXPECT_THAT(error, HasSubstr("all good documents are among those held out"));
    EXPECT_THAT(error, HasSubstr("--unseen-groups 0"));
    options.unseen_groups = 0;
    EXPECT_EQ(error_of([&] { run(options, true); }), "no error");
    return;
  }
  FAIL() << "no seed holds the group out";
}

TEST(TrainScorer, LabelsCountInEveryForm) {
  TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::string>> labels = {
      {"2.0", "0.0"}, {"\"2\"", "\"0\""}, {"\"2.0\"", "\" 0.00 \""}, {"2", "0"}, {"2e0", "-0.0"}};
  curate::TrainScorerOptions options = options_for(folder / "corpus.jsonl", folder / "m");
  options.where.clear();
  for (const auto& [good, bad] : labels) {
    std::ofstream(folder / "corpus.jsonl") << "{\"text\": \"a good one\", \"quality\": " << good << "}\n"
                                           << "{\"text\": \"a bad one\", \"quality\": " << bad << "}\n";
    const auto texts = curate::read_labelled(options).texts;
    ASSERT_EQ(texts.size(), 2u) << good;
    EXPECT_TRUE(texts[0].good);
    EXPECT_FALSE(texts[1].good);
  }
  options.label_field = "meta.good";
  options.text_field = "meta.body";
  options.good = {"true"};
  options.bad = {"false"};
  std::ofstream(folder / "corpus.jsonl") << R"({"meta": {"good": true, "body": "a good one"}})"
                                            "\n"
                                         << R"({"meta": {"good": "False", "body": "a bad one"}})"
                                            "\n";
  EXPECT_EQ(curate::read_labelled(options).texts.size(), 2u);
  options.good = {"excellent"};
  options.bad = {"poor"};
  EXPECT_THAT(error_of([&] { run(options, true); }), HasSubstr("'true' 1 times"));
}

TEST(TrainScorer, ReadsRecordsAsARunDoes) {
  TemporaryFolder folder;
  const std::string corpus =
      folder.write("corpus.jsonl", R"({"text":"first","text":"a good one","quality":1,"n":NaN})"
                                   "\n"
                                   R"({"text":"a bad one","quality":1,"qual\u0069ty":0,"n":[1e400]})"
                                   "\n");
  curate::TrainScorerOptions options = options_for(corpus, folder / "m");
  options.where.clear();
  options.good = {"1"};
  options.bad = {"0"};
  const curate::LabelledRecords records = curate::read_labelled(options);
  const auto& texts = records.texts;
  EXPECT_EQ(records.unreadable, 0u);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_TRUE(texts[0].good);
  EXPECT_EQ(texts[0].line, "a good one");
  EXPECT_FALSE(texts[1].good);
}

}  // namespace
