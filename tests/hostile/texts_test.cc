// Texts that make careless code slow or large. A step whose time grows with the square of a text's length does not come
// to the end of these tests.
#include <functional>

#include "base/random.h"
#include "tests/curate/small_fasttext.h"
#include "tests/hostile/hostile_run.h"

namespace hostile {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

std::string times(std::string_view part, std::size_t bytes) {
  std::string text;
  text.reserve(bytes + part.size());
  while (text.size() < bytes) text += part;
  return text;
}

// Every step. With `lenient` thresholds no rule drops anything, so that deduplicate is reached.
std::string all_steps(const TemporaryFolder& folder, int subwords, bool lenient) {
  const std::string model =
      small_fasttext::train(folder.path(), "labels", fasttext::loss_name::softmax, subwords, 1, false).string();
  const std::string benchmark = folder.write(
      "benchmark.jsonl", json({{"question", "one two three four five six seven eight nine ten eleven twelve thirteen " +
                                                times("and more words ", 5000)}})
                             .dump());
  auto options = [&](const char* text) { return lenient ? std::string(text) + "\n" : "\n"; };
  return "steps:\n"
         "  - language: {model: " +
         model +
         ", keep: [], min_score: 0}\n"
         "  - textbook: {model: " HORNBOOK_SOURCE_DIR
         "/curate/models/textbook.model, min_score: 0}\n"
         "  - pii\n"
         "  - decontaminate: {against: [" +
         benchmark +
         "]}\n"
         "  - unicode\n"
         "  - gopher_repetition" +
         options(
             ": {dup_line_frac: 1, dup_para_frac: 1, dup_line_char_frac: 1, "
             "dup_para_char_frac: 1, top_2_gram: 1, top_3_gram: 1, top_4_gram: 1, duplicated_5_n_grams: 1, "
             "duplicated_6_n_grams: 1, duplicated_7_n_grams: 1, duplicated_8_n_grams: 1, duplicated_9_n_grams: 1, "
             "duplicated_10_n_grams: 1}") +
         "  - gopher_quality" +
         options(
             ": {min_doc_words: 0, max_doc_words: 0, max_avg_word_length: 0, "
             "max_non_alpha_words_ratio: 0, min_stop_words: 0}") +
         "  - fineweb" + options(": {line_punct_thr: 0, char_duplicates_ratio: 1, new_line_ratio: 1000}") + "  - c4" +
         options(": {filter_no_terminal_punct: false, min_num_sentences: -1, min_words_per_line: -1}") +
         "  - deduplicate\n";
}

TEST(HostileTexts, EveryStepTakesLinearTime) {
  TemporaryFolder folder;
  constexpr std::size_t kSize = 1'500'000;
  const std::vector<std::string> texts = {
      times("(", kSize / 4),
      times(")", kSize / 4),
      times("a@", kSize) + "a.b",  // an address at every place
      times("1@", kSize) + ".1",
      times("a@b.c", kSize),
      times("http://", kSize) + "a.b",
      times("a.", kSize),
      times(".", kSize),
      times("a-", kSize / 4),
      times("1km", kSize),
      times("'", kSize / 4),
      times("can't ", kSize),
      times("IS_ALPHA ", kSize),
      times(":", kSize / 4),
      times("1:", kSize),
      times("+1", kSize / 4),
      times("-----BEGIN X PRIVATE KEY-----", kSize),
      times("[1", kSize),
      times("[", kSize / 4),
      "a" + times("\xCC\x81\xCC\xA3", kSize),  // combining marks, in the wrong order throughout
      "a" + times("\xCC\x81", kSize) + times("\xCC\xA3", kSize),
      times("\xE0\xBD\xB3", kSize),
      times("\xC3\x83\xC3\x83", kSize),
      times("\xCE\xA3'", kSize),
      times("'", kSize / 4) + times("\xCE\xA3", kSize),
      times("one two three four five six seven eight nine ten eleven twelve thirteen xx ", kSize),
      times("\n", kSize),
      times("ab\n", kSize),
      times(" ", kSize),
      times("\xC2\xA0", kSize),
      times("jav", kSize),
      times("\xE4\xB8\xAD", kSize),
      times("\xF0\x9F\x98\x80", kSize),
      times("a ", kSize / 2),
      times(std::string_view("\0", 1), kSize)};
  std::string lines;
  for (const std::string& text : texts) lines += record("hostile", text) + record("other", "the end of that");
  const std::string file = folder.write("texts.jsonl", lines);
  Outcome outcome = run(folder, {file}, all_steps(folder, 3, false), {"--keep-values"});
  EXPECT_EQ(outcome.report["read"]["records"], 2 * texts.size());
  EXPECT_EQ(outcome.report["quarantined"]["records"], 0);
  for (const char* semantics : {"datatrove-0.2", "gopher-paper"}) {
    std::string steps = "steps:\n";
    for (const char* step : {"gopher_repetition", "gopher_quality", "fineweb", "c4"})
      if (std::string_view(semantics) == "datatrove-0.2" || std::string_view(step).starts_with("gopher"))
        steps += std::string("  - ") + step + ": {semantics: " + semantics + "}\n";
    EXPECT_EQ(run(folder, {file}, steps, {"--keep-values"}).report["quarantined"]["records"], 0);
  }
}

TEST(HostileTexts, ATextOfTwoHundredMegabytesGoesThroughEveryStep) {
  TemporaryFolder folder;
  // Lines of 76 letters, as base64 has them, and prose at both ends.
  base::Random random(5);
  std::string line;
  for (int i = 0; i < 76; ++i) line += static_cast<char>('a' + random.below(26));
  line += "\n";
  std::string huge = "{\"id\":\"huge\",\"text\":\"The child that sees the stone in the river asks.\\n";
  huge.reserve(210'000'000);
  for (int i = 0; huge.size() < 200'000'000; ++i) {
    std::string number = std::to_string(i);
    line.replace(10, number.size(), number);
    huge.append(line, 0, 76);
    huge += "\\n";
  }
  huge += "And the water of the river answers.\"}\n";
  const std::string prose = "the child that sees the stone in the river asks, and of that the water tells ";
  const std::string file =
      folder.write("huge.jsonl", record("before", prose + "one") + huge +
                                     record("behind", "another text of other words, which stands alone"));
  huge = std::string();
  Outcome outcome = run(folder, {file}, all_steps(folder, 0, true), {"--threads", "1"});
  EXPECT_EQ(outcome.report["quarantined"]["records"], 0);
  EXPECT_THAT(outcome.ids(), testing::ElementsAre("before", "huge", "behind"));
  for (const json& step : outcome.report["steps"]) EXPECT_EQ(step["seen"], 3) << step;
  if (!kSanitized) {
    EXPECT_LT(peak_megabytes(), 1700) << "MB";
  }
}

TEST(HostileTexts, MorePartsThanMemoryIsForAreQuarantined) {
  TemporaryFolder folder;
  const std::string file =
      folder.write("parts.jsonl", record("marks", std::string(68'000'000, '(')) +
                                      record("blanks", std::string(68'000'000, ' ')) + record("behind", "text"));
  Outcome outcome = run(folder, {file}, "steps:\n  - gopher_quality\n", {"--threads", "1"});
  ASSERT_THAT(outcome.quarantined, SizeIs(1));
  EXPECT_EQ(outcome.quarantined[0]["line"], 1);
  EXPECT_THAT(outcome.quarantined[0]["error"], HasSubstr("more than 67,108,864 words, marks and lines"));
  EXPECT_THAT(outcome.dropped, SizeIs(2));
}

}  // namespace
}  // namespace hostile
