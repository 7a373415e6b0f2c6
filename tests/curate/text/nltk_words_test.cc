// Sentences and words against NLTK's own (scripts/oracle/nltk_words.py).
#include "curate/text/nltk_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "tests/curate/golden.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

using testing::ElementsAre;
namespace fs = std::filesystem;

// The parameters are fetched, not committed: scripts/install.sh.
const fs::path kParameters = HORNBOOK_SOURCE_DIR "/build/data/punkt-english.tsv";

std::vector<std::string> sentences(const Punkt& punkt, std::string_view text) {
  std::vector<std::string_view> found;
  punkt.split(text, found);
  return {found.begin(), found.end()};
}

std::vector<std::string> words(std::string_view text) { return split_words<NltkWords>(text); }

TEST(Punkt, Rules) {
  ASSERT_TRUE(fs::exists(kParameters)) << "run scripts/install.sh";
  const Punkt punkt(kParameters);
  auto split = [&](std::string_view text) { return sentences(punkt, text); };
  EXPECT_THAT(split("Mr. Smith met J. Bach at 5 p.m. today. He left."),
              ElementsAre("Mr. Smith met J. Bach at 5 p.m. today.", "He left."));
  EXPECT_THAT(split("It was 5 p.m. The end."), ElementsAre("It was 5 p.m.", "The end."));
  EXPECT_THAT(split("(It ended.) Then \"so it did.\" And"), ElementsAre("(It ended.)", "Then \"so it did.\"", "And"));
  EXPECT_THAT(split("Wait... no. Wait... The end."), ElementsAre("Wait... no.", "Wait...", "The end."));
  EXPECT_THAT(split(" \n"), ElementsAre());
  EXPECT_THAT(split("One?Two! Three"), ElementsAre("One?Two!", "Three"));
}

TEST(Punkt, SaysWhatIsWrongWithTheFile) {
  TemporaryFolder folder;
  const fs::path file = folder / "punkt.tsv";
  base::write_file(file, "abbreviation\tmr\ncontext\tthe\t126\nstarter\n");
  EXPECT_THAT(error_of([&] { Punkt punkt(file); }), testing::HasSubstr("punkt.tsv:3"));
  base::write_file(file, "abbreviation\tmr\ncontext\tthe\t999\n");
  EXPECT_THAT(error_of([&] { Punkt punkt(file); }), testing::HasSubstr("0 to 126"));
  base::write_file(file, "");
  EXPECT_THAT(error_of([&] { Punkt punkt(file); }), testing::HasSubstr("scripts/install.sh"));
}

TEST(NltkWords, Rules) {
  EXPECT_THAT(words("He said \"it's 5,000 (cannot be)\". They'll go."),
              ElementsAre("He", "said", "``", "it", "'s", "5,000", "(", "can", "not", "be", ")", "''", ".", "They",
                          "'ll", "go", "."));
  NltkWords split;
  split.split("naïve \"—\"");
  ASSERT_EQ(split.size(), 4u);
  EXPECT_EQ(split.all()[0].code_points, 5u);
  EXPECT_EQ(split.all()[0].flags, Word::kHasAlpha | Word::kHasNonSymbol);
  EXPECT_EQ(split.all()[1].flags, 0u);
}

TEST(NltkWords, GoldenSentencesAndWordsOfNltk) {
  const char* other = std::getenv("HORNBOOK_NLTK_GOLDEN");  // a larger file of the same script, by hand
  const auto nltk = other ? nlohmann::json::parse(base::read_file(other)) : golden("nltk.json");
  ASSERT_EQ(nltk["versions"]["nltk"], "3.8.1");
  ASSERT_GT(nltk["documents"].size(), 700u);
  int failures = 0;
  for (const auto& document : nltk["documents"]) {
    const std::string text = document["text"];
    EXPECT_EQ(sentences(Punkt::english(), text), document["sentences"].get<std::vector<std::string>>())
        << document["text"] << ++failures;
    EXPECT_EQ(words(text), document["words"].get<std::vector<std::string>>()) << document["text"] << ++failures;
    ASSERT_LT(failures, 5);
  }
}

// Without the abbreviations, or without the orthographic contexts, the golden sentences are not found.
TEST(NltkWords, TheComparisonCanFail) {
  const auto nltk = golden("nltk.json");
  const std::string parameters = base::read_file(kParameters);
  TemporaryFolder folder;
  for (const std::string kind : {"abbreviation", "context", "collocation", "starter"}) {
    std::string some = "abbreviation\tx-x\ncontext\tx-x\t2\n";
    for (std::size_t begin = 0; begin < parameters.size();) {
      const std::size_t end = parameters.find('\n', begin) + 1;
      if (!parameters.substr(begin, kind.size()).starts_with(kind)) some += parameters.substr(begin, end - begin);
      begin = end;
    }
    base::write_file(folder / "some.tsv", some);
    const Punkt punkt(folder / "some.tsv");
    int different = 0;
    for (const auto& document : nltk["documents"]) {
      different += sentences(punkt, document["text"].get<std::string>()) !=
                   document["sentences"].get<std::vector<std::string>>();
    }
    EXPECT_GT(different, 0) << kind;
  }
}

}  // namespace
}  // namespace curate
