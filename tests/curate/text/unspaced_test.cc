// Texts of scripts without spaces between words: the rules' words, shingles, and items of benchmarks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "curate/duplicates.h"
#include "curate/explain.h"
#include "curate/score.h"
#include "curate/steps/c4.h"
#include "curate/steps/decontaminate.h"
#include "curate/steps/deduplicate.h"
#include "curate/steps/gopher.h"
#include "tests/curate/random_pieces.h"
#include "tests/curate/run_folder.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kChinese =
    "人工智能正在改变我们的生活方式。越来越多的公司开始使用机器学习来分析数据，提高效率，并且为客户提供更好的服务。";
constexpr const char* kThai = "ปัญญาประดิษฐ์กำลังเปลี่ยนแปลงวิถีชีวิตของเรา";
constexpr const char* kJapanese = "東京は日本の首都であり、世界でも有数の大都市である。コンピューターも使われる。";

std::vector<std::string> words_of(std::string_view text) {
  DictionaryWords words;
  words.split(text);
  std::vector<std::string> result;
  for (const Word& word : words.all()) result.emplace_back(words.text(word));
  return result;
}

TEST(DictionaryWords, AreIcusInScriptsWithoutSpaces) {
  EXPECT_THAT(words_of("我们使用机器学习。Yes, 东京"),
              ElementsAre("我们", "使用", "机器", "学习", "。", "Yes", ",", "东京"));
  EXPECT_THAT(words_of("ภาษาไทยง่าย"), ElementsAre("ภาษา", "ไทย", "ง่าย"));
  EXPECT_THAT(words_of("日本の首都"), ElementsAre("日本", "の", "首都"));
  const std::string huge(100000, 'x');
  std::string han;
  for (int i = 0; i < 60000; ++i) han += "学习";  // more than one piece
  EXPECT_EQ(words_of(huge + " " + han).front(), huge);
  EXPECT_NEAR(static_cast<double>(words_of(han).size()), 60000, 10);
}

TEST(DictionaryWords, AreSpacysElsewhere) {
  base::Random random(3);
  const std::vector<std::string> parts = {"don't", " ",  "a",   "é",    "§",        "한국어",
                                          "мир",   "\n", "...", "U.S.", "IS_ALPHA", "10km"};
  for (int i = 0; i < 2000; ++i) {
    const std::string text = random_pieces(random, parts, random.below(20), 0);
    SpacyWords spacy;
    DictionaryWords dictionary;
    spacy.split(text);
    dictionary.split(text);
    ASSERT_EQ(spacy.size(), dictionary.size()) << text;
    for (std::size_t w = 0; w < spacy.size(); ++w) {
      ASSERT_EQ(spacy.all()[w].hash, dictionary.all()[w].hash) << text;
      ASSERT_EQ(spacy.all()[w].flags, dictionary.all()[w].flags) << text;
    }
  }
}

TEST(Unspaced, RulesSeeWordsWithIcuSemantics) {
  for (const char* semantics : {"icu", "datatrove-0.10"}) {
    const bool icu = std::string_view(semantics) == "icu";
    GopherQuality quality;
    quality.semantics.name = semantics;
    quality.min_doc_words = 15;
    quality.min_avg_word_length = 1;
    quality.min_stop_words = 0;
    quality.prepare();
    C4 c4;
    c4.semantics.name = semantics;
    c4.min_num_sentences = 2;
    c4.prepare();
    for (const char* text : {kChinese, kThai, kJapanese}) {
      Document document;
      document.reset(text, "", "");
      EXPECT_EQ(quality.apply(document).keep, icu && text != kThai) << semantics << text;  // 9 words of Thai
      if (text == kThai) continue;                                                         // it marks no sentences
      EXPECT_EQ(c4.apply(document).keep, icu) << semantics << text;
    }
  }
}

// Where there is no such letter, C4's lines are datatrove's, whatever marks they end in; an ellipsis ends none.
TEST(Unspaced, LinesEndAsWithoutADictionary) {
  const auto kept = [](const char* semantics, const std::string& text) {
    C4 c4;
    c4.semantics.name = semantics;
    c4.min_num_sentences = -1;
    c4.prepare();
    Document document;
    document.reset(text, "", "");
    c4.apply(document);
    return std::string(document.text());
  };
  for (const char* end : {"", ".", "...", "\u2026", "\u3002", "\u061F", "\u0964", "!", "\u203D", "\u00BB"}) {
    const std::string line = std::string("This is one of the lines ") + end;
    EXPECT_EQ(kept("icu", line + "\nThe last line ends well."),
              kept("datatrove-0.10", line + "\nThe last line ends well."))
        << end;
  }
  const std::string chinese = "\u5B66 \u4E60 \u4E2D\u6587";
  EXPECT_EQ(kept("icu", chinese + "\u3002\n" + chinese + "..."), chinese + "\u3002");
}

std::vector<std::uint64_t> set_of(std::string_view text, const std::string& shingle) {
  Deduplicate options;
  options.shingle = shingle;
  std::vector<std::uint64_t> set;
  Fingerprinter(options).shingle_set(text, set);
  return set;
}

// The shingles of several texts.
std::vector<std::uint64_t> united(const std::vector<std::string>& texts) {
  std::vector<std::uint64_t> all;
  for (const std::string& text : texts) {
    const std::vector<std::uint64_t> set = set_of(text, "character");
    all.insert(all.end(), set.begin(), set.end());
  }
  make_set(all);
  return all;
}

TEST(Unspaced, ShinglesAreOfCharacters) {
  const Deduplicate defaults;
  EXPECT_EQ(defaults.shingle, "character");
  EXPECT_EQ(set_of("人工智能正在", "character").size(), 2u);  // of five characters
  EXPECT_EQ(set_of("人工，智能。正 在", "character"), set_of("人工智能正在", "character"));
  EXPECT_EQ(set_of("人工智能正在", "word").size(), 1u);
  // No shingle holds characters and words: each run has its own, a short one a single one.
  EXPECT_EQ(set_of("one two three 人工 four", "character").size(), 3u);
  EXPECT_EQ(set_of("a b c d e 人工智能正在 f g h i j k", "character"),
            united({"a b c d e", "人工智能正在", "f g h i j k"}));
  EXPECT_EQ(set_of("ไม่ดี hello 世界", "character"), united({"ไม่ดี", "hello", "世界"}));
  EXPECT_EQ(set_of("1，人工，2", "character"), united({"1", "人工", "2"}));
  // A mark of Thai, no word character, tells two texts apart.
  EXPECT_NE(set_of("ไม่ดี", "character"), set_of("ไม้ดี", "character"));
  std::string other = kChinese;
  other.replace(other.find("更好"), std::string("更好").size(), "很好");
  EXPECT_GT(jaccard(set_of(kChinese, "character"), set_of(other, "character")), 0.7);
  EXPECT_LT(jaccard(set_of(kChinese, "word"), set_of(other, "word")), 0.5);
}

TEST(Unspaced, OtherTextsKeepTheirShingles) {
  base::Random random(4);
  const std::vector<std::string> parts = {"don't", " ",  "a", "É",     "ΣΑΣ",  "한국어",
                                          "Мир",   "\n", "İ", "हिन्दी", "ঢাকা", "_x9 "};
  for (int i = 0; i < 2000; ++i) {
    const std::string text = random_pieces(random, parts, random.below(30), 0);
    ASSERT_EQ(set_of(text, "character"), set_of(text, "word")) << text;
  }
}

class Items : public testing::Test {
 protected:
  Verdict apply(const std::string& benchmark, std::string_view text) {
    step_.against = {folder_.write("bench.jsonl", benchmark)};
    step_.prepare();
    document_.reset(text, "", "");
    return step_.apply(document_);
  }
  TemporaryFolder folder_;
  Decontaminate step_;
  Document document_;
};

TEST_F(Items, OfChineseAreFound) {
  const std::string item = R"({"question": "中国的首都是哪里？", "answer": "北京"})";
  EXPECT_EQ(apply(item, "老师问：中国的首都是哪里？学生说北京。").reason, "decontaminate:bench");
  EXPECT_TRUE(apply(item, "老师问：法国的首都是哪里？学生说巴黎。").keep);
  EXPECT_EQ(apply("{\"q\": \"" + std::string(kChinese) + "\"}", "前面。" + std::string(kChinese) + "后面。").reason,
            "decontaminate:bench");
  EXPECT_EQ(apply("{\"q\": \"" + std::string(kThai) + "\"}", "ก่อน " + std::string(kThai)).reason,
            "decontaminate:bench");
}

TEST_F(Items, OfFewWordsAreComparedWhole) {
  const std::string item = R"({"question": "What is the capital of France?", "answer": "Paris"})";
  EXPECT_FALSE(apply(item, "He asked: what is the capital of FRANCE? Nobody knew.").keep);
  EXPECT_FALSE(apply(item, "what is the capital of france").keep);
  EXPECT_TRUE(apply(item, "He asked: what is the capital of Spain?").keep);
  EXPECT_TRUE(apply(item, "We know what is the capital of France and what is not.").keep) << "within a sentence";
}

TEST_F(Items, LeftOutAreCounted) {
  apply(R"({"question": "What is the capital of France?", "choices": ["Paris", "the city of Rome", ""]})", "x");
  const std::vector<Note> notes = step_.notes();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes[0].count, 1u);
  EXPECT_EQ(notes[1].count, 3u);
  EXPECT_THAT(notes[1].text, HasSubstr("3 of 4 items of the benchmarks have fewer than 5 words and are left out"));
  step_.fields = {"prompt"};
  EXPECT_THAT(error_of([&] { apply(R"({"question": "What is the capital of France?"})", "x"); }),
              HasSubstr("a benchmark holds no text"));
}

TEST_F(Items, LeftOutAreSaidByEveryCommand) {
  const std::string bench =
      folder_.write("b.jsonl", "{\"q\": \"too short\"}\n{\"q\": \"one two three four five six\"}\n");
  const std::string data = folder_.write("data.jsonl", line("1", "a text"));
  const std::string steps = "steps:\n  - decontaminate: {against: " + bench + "}\n";
  const char* said = "decontaminate: 1 of 2 items of the benchmarks have fewer than 5 words";
  const Ran ran = run(steps, {data, "--output", folder_ / "out"});
  EXPECT_THAT(ran.message, HasSubstr(said));
  EXPECT_EQ(ran.report["steps"][0]["notes"]["items_left_out"], 1);
  EXPECT_THAT(ran.report["notes"][0].get<std::string>(), HasSubstr(said));
  EXPECT_THAT(base::read_file(folder_ / "out/report.html"), HasSubstr(said));
  EXPECT_THAT(run(steps, {data, "--output", folder_ / "dry", "--dry-run", "1"}).message, HasSubstr(said));
  auto message = [&](auto options, auto command, std::vector<std::string> words) {
    base::OptionSet set(options);
    set.read_yaml(steps, "config.yaml");
    set.read_words(words);
    std::ostringstream out, err;
    base::Context context{out, err, false, false, "", "curate"};
    command(options, context);
    return err.str();
  };
  ScoreOptions score;
  score.steps.clear();
  EXPECT_THAT(message(std::move(score), run_score, {data, "--output", folder_ / "scored.jsonl"}), HasSubstr(said));
  EXPECT_THAT(message(ExplainOptions(), run_explain, {data}), HasSubstr(said));
}

}  // namespace
}  // namespace curate
