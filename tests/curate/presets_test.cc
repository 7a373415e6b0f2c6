// Every preset, through its own file, against the decisions of the program whose rules it reproduces
// (scripts/oracle/presets.py).
#include "curate/presets.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "curate/stages/run_options.h"
#include "curate/steps/c4.h"
#include "tests/curate/golden.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

// NLTK's sentence parameters are fetched, not committed: scripts/install.sh.
const std::filesystem::path kPunkt = HORNBOOK_SOURCE_DIR "/build/data/punkt-english.tsv";

// The rules of a config that the golden files know: all but the language model and the search for duplicates.
struct Rules {
  explicit Rules(const std::string& yaml) {
    base::OptionSet set(options);
    set.read_yaml(yaml, "preset");
    const std::vector<StagePlan> stages = plan_stages(options.steps);
    for (const Rule& rule : stages.front().rules) {
      if (rule.label == "language") continue;
      rules.push_back(rule);
      rule.step->prepare();
    }
  }
  RunOptions options;
  std::vector<Rule> rules;
};

// A decision as the golden files write it: [reason], or [reason, the text that was left] where it changed.
nlohmann::json decision(const std::string& reason, Document& document, const std::string& text) {
  nlohmann::json result = {reason};
  if (reason.empty() && document.text() != text) result.push_back(document.text());
  return result;
}

// Decisions that differ from the golden file's: each rule on the text as it came, and all one behind another.
int differences(const std::string& preset, const std::string& yaml) {
  const auto decisions = golden("preset-" + preset + ".json");
  EXPECT_GT(decisions["documents"].size(), 250u);
  Rules chain(yaml);
  EXPECT_FALSE(chain.rules.empty());
  Document document;
  int found = 0;
  auto compare = [&](const std::string& name, const nlohmann::json& expected, const std::string& reason,
                     const std::string& text) {
    if (expected[0].get<std::string>().ends_with("ZeroDivisionError")) return;
    const nlohmann::json ours = decision(reason, document, text);
    if (ours != expected && found++ < 3) ADD_FAILURE() << name << ": " << ours << " not " << expected << "\n" << text;
  };
  for (const auto& entry : decisions["documents"]) {
    const std::string text = entry["text"];
    for (const Rule& rule : chain.rules) {
      document.reset(text, "1", "");
      const Verdict verdict = rule.step->apply(document);
      compare(rule.label, entry["decisions"].at(rule.label), std::string(verdict.reason), text);
    }
    document.reset(text, "1", "");
    std::string reason;
    for (const Rule& rule : chain.rules) {
      const Verdict verdict = rule.step->apply(document);
      if (verdict.keep) continue;
      reason = rule.label + ": " + std::string(verdict.reason);
      break;
    }
    compare("chain", entry["decisions"].at("chain"), reason, text);
  }
  return found;
}

// The comparison with one word of the preset's file replaced must find differences.
void expect_that_it_can_fail(const std::string& preset, const std::string& part, const std::string& replacement) {
  std::string yaml = presets().at(preset);
  const std::size_t at = yaml.find(part);
  ASSERT_NE(at, std::string::npos) << part;
  yaml.replace(at, part.size(), replacement);
  testing::TestPartResultArray failures;
  int found;
  {
    testing::ScopedFakeTestPartResultReporter reporter(&failures);
    found = differences(preset, yaml);
  }
  EXPECT_GT(found, 0) << preset << ": " << replacement;
}

TEST(Presets, Datatrove010) {
  EXPECT_EQ(differences("datatrove-0.10", presets().at("datatrove-0.10")), 0);
  expect_that_it_can_fail("datatrove-0.10", "fineweb: {semantics", "fineweb: {line_punct_thr: 0.2, semantics");
}

TEST(Presets, FineWeb2024) {
  ASSERT_TRUE(std::filesystem::exists(kPunkt)) << "run scripts/install.sh";
  EXPECT_EQ(differences("fineweb-2024", presets().at("fineweb-2024")), 0);
  for (const std::string step : {"gopher_repetition", "gopher_quality", "c4", "fineweb"}) {  // each generation matters
    expect_that_it_can_fail("fineweb-2024", step + ": {semantics: datatrove-0.2",
                            step + ": {semantics: datatrove-0.10");
  }
}

TEST(Presets, C4) {
  ASSERT_TRUE(std::filesystem::exists(kPunkt)) << "run scripts/install.sh";
  EXPECT_EQ(differences("c4", presets().at("c4")), 0);
  expect_that_it_can_fail("c4", "tensorflow-datasets", "datatrove-0.2");
  expect_that_it_can_fail("c4", "min_words_per_line: 5", "min_words_per_line: 4");
  Rules rules(presets().at("c4"));
  Document document;
  C4& c4 = dynamic_cast<C4&>(*rules.rules[0].step);
  const auto decisions = golden("preset-c4.json");
  std::string list = "\n";
  for (const std::string word : decisions["bad_words"]) list += " " + word + "\r\n";
  TemporaryFolder folder;
  c4.bad_words = folder.write("words.txt", list);
  c4.prepare();
  int dropped = 0;
  for (const auto& entry : decisions["documents"]) {
    const std::string text = entry["text"];
    document.reset(text, "", "");
    const std::string reason(c4.apply(document).reason);
    EXPECT_EQ(decision(reason, document, text), entry["decisions"]["c4 with bad_words"]) << text;
    dropped += reason == "badwords";
  }
  EXPECT_GT(dropped, 20);
  c4.bad_words.clear();
  c4.prepare();
  const std::string page = "This is the first sentence of it. This is the second one. This is the third one.";
  document.reset(page, "", "");
  EXPECT_TRUE(rules.rules[0].step->apply(document).keep);
  const std::string too_long = page + std::string(190001 - page.size(), '\n');  // the document does not copy
  document.reset(too_long, "", "");
  EXPECT_EQ(rules.rules[0].step->apply(document).reason, "too_long");
}

// ---- the Gopher paper: no program to ask, so documents at and just beyond every threshold, counted by hand ---------

// The reason of one rule of the preset gopher-paper, "" when it keeps the text.
std::string gopher_paper(const std::string& step, const std::string& text) {
  static const Rules kRules(presets().at("gopher-paper"));
  Document document;
  document.reset(text, "", "");
  for (const Rule& rule : kRules.rules) {
    if (rule.label == step) return std::string(rule.step->apply(document).reason);
  }
  return "no such step";
}

// The n-th of many different words of `length` letters.
std::string unique_word(int n, std::size_t length = 5) {
  std::string word(length, 'a');
  for (std::size_t i = 0; i < length && n > 0; ++i, n /= 25) word[i] = static_cast<char>('b' + n % 25);
  return word;
}

std::string repeated(const std::string& part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

TEST(Presets, GopherPaperQuality) {
  auto reason = [](const std::string& text) { return gopher_paper("gopher_quality", text); };
  const std::string stop = "the with ";
  EXPECT_EQ(reason(stop + repeated("word ", 48)), "");
  EXPECT_EQ(reason(stop + repeated("word ", 47)), "gopher_short_doc");
  EXPECT_EQ(reason(stop + repeated("word ", 38) + repeated("- ", 10)), "") << "marks are words";
  EXPECT_EQ(reason(stop + repeated("word ", 99998)), "");
  EXPECT_EQ(reason(stop + repeated("word ", 99999)), "gopher_long_doc");
  // Mean length: 50 words of 150 letters, of 149; of 500, of 501.
  EXPECT_EQ(reason("the of " + repeated("for ", 47) + "four "), "");
  EXPECT_EQ(reason("the of " + repeated("for ", 48)), "gopher_below_avg_threshold");
  EXPECT_EQ(reason("the with " + repeated("decembered ", 47) + repeated("x", 23)), "");
  EXPECT_EQ(reason("the with " + repeated("decembered ", 47) + repeated("x", 24)), "gopher_above_avg_threshold");
  // 50 words: five symbols are a tenth.
  EXPECT_EQ(reason(stop + repeated("word ", 43) + repeated("word# ", 5)), "");
  EXPECT_EQ(reason(stop + repeated("word ", 42) + repeated("word# ", 6)), "gopher_too_many_hashes");
  EXPECT_EQ(reason(stop + repeated("word... ", 3) + repeated("word… ", 2) + repeated("word ", 43)), "");
  EXPECT_EQ(reason(stop + repeated("word... ", 3) + repeated("word… ", 3) + repeated("word ", 42)),
            "gopher_too_many_ellipsis");
  const std::string line = "the with some more words of it\n";
  EXPECT_EQ(reason(line + repeated("- " + line, 5) + repeated("• " + line, 4)), "") << "nine of ten lines";
  EXPECT_EQ(reason(repeated("- " + line, 6) + repeated("• " + line, 4)), "gopher_too_many_bullets");
  EXPECT_EQ(reason(repeated(line, 7) + repeated("the with some more words of it...\n", 3)), "");
  EXPECT_EQ(reason(repeated(line, 6) + repeated("the with some more words of it… \n", 4)),
            "gopher_too_many_end_ellipsis");
  EXPECT_EQ(reason(stop + repeated("word ", 38) + repeated("1999 ", 10)), "") << "40 of 50 words have a letter";
  EXPECT_EQ(reason(stop + repeated("word ", 37) + repeated("1999 ", 11)), "gopher_below_alpha_threshold");
  EXPECT_EQ(reason("the have " + repeated("word ", 48)), "");
  EXPECT_EQ(reason("the the " + repeated("word ", 48)), "gopher_enough_stop_words") << "different ones are asked for";
  EXPECT_EQ(reason("the Have and, " + repeated("word ", 48)), "gopher_enough_stop_words") << "as they are printed";
}

TEST(Presets, GopherPaperRepeatedLines) {
  auto reason = [](const std::string& text) { return gopher_paper("gopher_repetition", text); };
  // Of 100 lines or paragraphs 30 or 31 are copies, short and far apart.
  for (const std::string separator : {"\n", "\n\n"}) {
    for (int copies : {30, 31}) {
      std::string text;
      for (int i = 0; i < 100; ++i) {
        const bool same = i % 3 == 0 && i <= 3 * copies;  // one more than there are copies
        text += (same ? "xx" : unique_word(i, 30)) + separator;
      }
      const std::string name = separator.size() == 2 ? "dup_para_frac" : "dup_line_frac";
      EXPECT_EQ(reason(text), copies == 30 ? "" : name);
    }
    // A line of 200 characters twice, in a text of 1,000 and of 999 characters.
    for (std::size_t size : {1000, 999}) {
      std::string text = std::string(200, 'x') + separator;
      for (int i = 0; text.size() < size - 250 - separator.size(); ++i) text += unique_word(i, 30) + separator;
      text += std::string(200, 'x') + separator;
      text += std::string(size - text.size(), 'y');
      const std::string name = separator.size() == 2 ? "dup_para_char_frac" : "dup_line_char_frac";
      EXPECT_EQ(reason(text), size == 1000 ? "" : name);
    }
  }
}

TEST(Presets, GopherPaperRepeatedNGrams) {
  // Table A1: n, how often a phrase of n words of five letters occurs, and the letters of the whole text of which that
  // is the threshold.
  struct Row {
    int n, times, letters;
    const char* reason;
  };
  for (const Row& row : {Row{2, 4, 200, "top_2_gram"}, Row{3, 6, 500, "top_3_gram"}, Row{4, 4, 500, "top_4_gram"},
                         Row{5, 6, 1000, "duplicated_5_n_grams"}, Row{6, 7, 1500, "duplicated_6_n_grams"},
                         Row{7, 13, 3500, "duplicated_7_n_grams"}, Row{8, 3, 1000, "duplicated_8_n_grams"},
                         Row{9, 11, 4500, "duplicated_9_n_grams"}, Row{10, 2, 1000, "duplicated_10_n_grams"}}) {
    for (int missing : {0, 1}) {
      std::string phrase, text;
      for (int i = 0; i < row.n; ++i) phrase += unique_word(i) + " ";
      const int others = (row.letters - row.times * row.n * 5) / 5;
      for (int i = 0; i < others; ++i) {
        text += unique_word(100 + i, i == 0 && missing ? 4 : 5) + " ";
        if (i < row.times) text += phrase;
      }
      EXPECT_EQ(gopher_paper("gopher_repetition", text), missing ? row.reason : "") << row.n << "-grams";
    }
  }
  EXPECT_EQ(gopher_paper("gopher_repetition", "two words"), "") << "what occurs once is not repeated";
}

}  // namespace
}  // namespace curate
