// `curate report --sweep` against runs with the other threshold.
#include "curate/report/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <tuple>

#include "base/random.h"
#include "tests/curate/run_folder.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

// A sweep says what another run would keep, at the threshold itself, and where a rule has an exception, too.
TEST(Sweep, EqualsRunningAtTheThresholdItself) {
  TemporaryFolder folder;
  // Documents of five lines: 0, 1, ..., 5 of them end well, so that many shares are exactly a threshold.
  std::string lines;
  for (int i = 0; i < 60; ++i) {
    std::string text;
    for (int j = 0; j < 5; ++j)
      text += "Line " + std::to_string(i) + " " + std::to_string(j) + " is a line of quite usual length" +
              (j < i % 6 ? ".\n" : "\n");
    text.pop_back();  // the older rule counts an empty line behind the last line break
    lines += json{{"id", std::to_string(i)}, {"text", text}}.dump() + "\n";
  }
  const std::string file = folder.write("shares.jsonl", lines);
  for (const char* semantics : {"datatrove-0.10", "datatrove-0.2"}) {
    for (const char* exclude : {"false", "true"}) {
      auto steps = [&](const std::string& share) {
        return std::string("steps:\n  - fineweb: {semantics: ") + semantics + ", line_punct_exclude_zero: " + exclude +
               ", line_punct_thr: " + share + ", short_line_thr: 1, new_line_ratio: 2}\n";
      };
      const std::string name = std::string(semantics) + exclude;
      run(steps("0.4"), {file, "--output", folder / name, "--keep-values"});
      const auto [sweep, message] = run_sweep(folder / name, "fineweb.line_punct_thr=0.2,0.3,0.6,0.8");
      EXPECT_EQ(sweep["exceptions"], *exclude == 't' ? 10 : 0) << name;
      EXPECT_EQ(message.find("exception") != std::string::npos, *exclude == 't') << message;
      std::set<int> different;
      for (const json& point : sweep["values"]) {
        const std::string share = point["value"].dump();
        json real = run(steps(share), {file, "--output", folder / (name + share)}).report;
        EXPECT_EQ(point["kept"], real["kept"]["records"]) << name << " " << share;
        different.insert(point["kept"].get<int>());
      }
      EXPECT_GE(different.size(), 3u);
    }
  }
}

TEST(Sweep, RefusesWhatIsNoThreshold) {
  TemporaryFolder folder;
  const std::string out = folder / "out";
  run("steps:\n  - fineweb\n", {folder.write("a.jsonl", "{\"text\":\"a\"}\n"), "--output", out, "--keep-values"});
  auto refusal = [&](const std::string& sweep) { return error_of([&] { run_sweep(out, sweep); }); };
  for (const char* option : {"fineweb.stop_chars", "fineweb.semantics"})  // a list without a value; a word
    EXPECT_THAT(refusal(option + std::string("=1")), testing::HasSubstr("no measured value depends on this option"));
  EXPECT_THAT(refusal("fineweb.short_line_thrs=1"), testing::HasSubstr("did you mean 'fineweb.short_line_thr'?"));
  EXPECT_THAT(refusal("zz.x=1"), testing::Not(testing::HasSubstr("did you mean")));
}

// Values that switch a rule off keep what no other rule drops, as such a run does; and so with two measures of one
// option.
TEST(Sweep, OffIsOff) {
  TemporaryFolder folder;
  base::Random random(3);
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    std::string text = words(random, 30 + static_cast<int>(random.below(200)));
    if (i % 2) text += "\n\n" + text;
    if (i % 3 == 0) text = "# and # " + text + " wait... so...";
    lines += json{{"id", std::to_string(i)}, {"text", text}}.dump() + "\n";
  }
  const std::string file = folder.write("a.jsonl", lines);
  // Other rules that would drop the same documents are off.
  const auto config = [](const std::string& step, const std::string& option) {
    std::string all = option;
    if (step == "gopher_repetition")
      for (const char* other :
           {"dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac", "top_2_gram", "top_3_gram",
            "top_4_gram", "duplicated_5_n_grams", "duplicated_6_n_grams", "duplicated_7_n_grams",
            "duplicated_8_n_grams", "duplicated_9_n_grams", "duplicated_10_n_grams"})
        if (!option.starts_with(other)) all += std::string(", ") + other + ": 0";
    return "steps:\n  - " + step + ": {" + all + "}\n";
  };
  const std::vector<std::tuple<std::string, std::string, std::string, std::string>> options = {
      {"gopher_repetition", "dup_para_frac", "0.1", "0"},
      {"gopher_repetition", "top_2_gram", "0.01", "0"},
      {"gopher_repetition", "duplicated_5_n_grams", "0.1", "0"},
      {"gopher_quality", "max_doc_words", "100", "0"},
      {"gopher_quality", "max_symbol_word_ratio", "0.001", "0"},
      {"gopher_quality", "min_avg_word_length", "5.5", "0"},
      {"c4", "max_document_length", "400", "0"},
      {"c4", "min_num_sentences", "20", "-1"}};
  for (const auto& [step, option, value, off] : options) {
    const std::string name = step + "." + option, out = folder / name;
    run(config(step, option + ": " + value), {file, "--output", out, "--keep-values"});
    const json points = run_sweep(out, name + "=" + off).report["values"];
    std::map<std::string, int> kept;
    for (const json& point : points) kept[point["off"].get<bool>() ? off : value] = point["kept"];
    for (const std::string& one : {value, off}) {
      const json real = run(config(step, option + ": " + one), {file, "--output", out + one, "--keep-values"}).report;
      EXPECT_EQ(kept[one], real["kept"]["records"]) << name << " " << one;
    }
    EXPECT_LT(kept[value], kept[off]) << name;
    EXPECT_THAT(error_of([&] { run_sweep(out + off, name + "=" + value); }),
                testing::HasSubstr("switched this rule off"))
        << name;
  }
}

TEST(Sweep, TakesWhatTheOptionTakes) {
  TemporaryFolder folder;
  const std::string out = folder / "out";
  run("steps:\n  - gopher_quality\n  - fineweb\n",
      {folder.write("a.jsonl", "{\"text\":\"a\"}\n"), "--output", out, "--keep-values"});
  const auto refusal = [&](const std::string& sweep) { return error_of([&] { run_sweep(out, sweep); }); };
  EXPECT_THAT(refusal("gopher_quality.min_doc_words=-5"), testing::HasSubstr("0 or more"));
  EXPECT_THAT(refusal("gopher_quality.min_doc_words=5,5.5"), testing::HasSubstr("a whole number"));
  EXPECT_THAT(refusal("fineweb.short_line_thr=1.5"), testing::HasSubstr("0 to 1"));
  EXPECT_THAT(refusal("fineweb.short_line_thr=0.5,"), testing::HasSubstr("--sweep fineweb.short_line_thr"));
  EXPECT_THAT(refusal("fineweb.short_line_thr=nan"), testing::HasSubstr("finite"));
}

// Models of scorers need not be there any more.
TEST(Sweep, NeedsNoModel) {
  TemporaryFolder folder;
  const std::string out = folder / "out", model = folder / "a.model";
  fs::copy_file(HORNBOOK_SOURCE_DIR "/curate/models/textbook.model", model);
  std::string lines;
  base::Random random(4);
  for (int i = 0; i < 50; ++i) lines += json{{"text", words(random, 100)}}.dump() + "\n";
  const std::string file = folder.write("a.jsonl", lines);
  const auto config = [&](const std::string& score) {
    return "steps:\n  - textbook: {model: '" + model + "', min_score: " + score + "}\n";
  };
  run(config("0.5"), {file, "--output", out, "--keep-values"});
  const json real = run(config("0.01"), {file, "--output", out + "2"}).report;
  fs::remove(model);
  const json swept = run_sweep(out, "textbook.min_score=0.01,0").report;
  EXPECT_EQ(swept["values"][0]["kept"], 50);
  EXPECT_EQ(swept["values"][1]["kept"], real["kept"]["records"]);
  EXPECT_EQ(swept["exceptions"], 0);
}

// The side on which each threshold of the rules fails, and no decision of the run that it does not explain.
TEST(Sweep, KnowsTheSideOfEveryThreshold) {
  TemporaryFolder folder;
  base::Random random(11);
  std::string lines;
  for (int i = 0; i < 120; ++i) {
    std::string text;
    for (int j = 0; j < 12; ++j) {
      if (j < i % 5) text += "- This line of the page comes again and again...\n";
      if (j < i % 7) text += "# The paragraph # that is there twice # or more\n\n";
      text += "The";
      for (int word = 0; word < 9; ++word) {
        text += word == 4 ? " and " : " ";
        for (std::uint64_t size = 3 + random.below(5); size > 0; --size)
          text += static_cast<char>('a' + random.below(26));
      }
      text += ".\n";
    }
    lines += json{{"id", std::to_string(i)}, {"text", text}}.dump() + "\n";
  }
  const std::string file = folder.write("sides.jsonl", lines);
  const std::string out = folder / "sides";
  json report = run("steps:\n  - gopher_repetition\n  - gopher_quality\n  - c4\n  - fineweb\n",
                    {file, "--output", out, "--keep-values"})
                    .report;
  const std::map<std::string, std::string> sides = {{"gopher_repetition.dup_line_frac", "above"},
                                                    {"gopher_repetition.dup_para_frac", "above"},
                                                    {"gopher_repetition.dup_line_char_frac", "above"},
                                                    {"gopher_repetition.dup_para_char_frac", "above"},
                                                    {"gopher_repetition.top_2_gram", "above"},
                                                    {"gopher_repetition.top_4_gram", "above"},
                                                    {"gopher_repetition.duplicated_5_n_grams", "above"},
                                                    {"gopher_repetition.duplicated_10_n_grams", "above"},
                                                    {"gopher_quality.min_doc_words", "below"},
                                                    {"gopher_quality.max_doc_words", "above"},
                                                    {"gopher_quality.min_avg_word_length", "below"},
                                                    {"gopher_quality.max_avg_word_length", "above"},
                                                    {"gopher_quality.max_symbol_word_ratio", "above"},
                                                    {"gopher_quality.max_bullet_lines_ratio", "above"},
                                                    {"gopher_quality.max_ellipsis_lines_ratio", "above"},
                                                    {"gopher_quality.max_non_alpha_words_ratio", "below"},
                                                    {"gopher_quality.min_stop_words", "below"},
                                                    {"c4.min_num_sentences", "below"},
                                                    {"fineweb.line_punct_thr", "below"},
                                                    {"fineweb.short_line_thr", "above"},
                                                    {"fineweb.char_duplicates_ratio", "above"},
                                                    {"fineweb.new_line_ratio", "above"}};
  auto sweep = [&](const std::string& what) { return run_sweep(out, what).report; };
  for (const auto& [option, side] : sides) {
    const json result = sweep(option + "=1");
    EXPECT_EQ(result["fails"], side) << option;
    EXPECT_EQ(result["exceptions"], 0) << option;
    for (const json& point : result["values"])
      EXPECT_TRUE(point["value"] != result["current"] || point["kept"] == report["kept"]["records"]) << option;
  }
  EXPECT_GT(report["kept"]["records"], 0);
  const json lines_twice = sweep("gopher_repetition.dup_line_frac=0.05,0.1");
  for (std::size_t i = 0; const std::string share : {"0.05", "0.1"}) {
    json real =
        run("steps:\n  - gopher_repetition: {dup_line_frac: " + share + "}\n  - gopher_quality\n  - c4\n  - fineweb\n",
            {file, "--output", out + share})
            .report;
    const json& point = lines_twice["values"][i++];
    EXPECT_EQ(point["value"], std::stod(share));
    EXPECT_EQ(point["kept"], real["kept"]["records"]);
  }
}

}  // namespace
}  // namespace curate
