// `curate duplicates` and `curate score` where files hold what cannot be read: every piece is counted, on any threads.
#include <gmock/gmock.h>

#include "curate/duplicates.h"
#include "curate/score.h"
#include "tests/curate/run_folder.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

using ::testing::HasSubstr;

// Rows of several blocks: good ones, and every fourth of three fields.
std::string rows(int count) {
  base::Random random(4);
  std::string all = "text,id\n";
  for (int i = 0; i < count; ++i) {
    std::string text = words(random, 40);
    std::replace(text.begin(), text.end(), '\n', ' ');
    all += text + (i % 4 == 0 ? ",id,more\n" : ",id" + std::to_string(i) + "\n");
  }
  return all;
}

template <class Options, class Command>
std::string said(Options& options, Command command, int expected, std::vector<std::string> flags) {
  base::OptionSet set(options);
  flags.insert(flags.end(), {"--threads", "4"});
  set.read_words(flags);
  std::ostringstream out, err;
  base::Context context{out, err, false, false, "", "curate"};
  EXPECT_EQ(command(options, context), expected);
  return err.str();
}

TEST(Commands, CountWhatCannotBeRead) {
  TemporaryFolder folder;
  const std::string file = folder.write("a.csv", rows(40'000)), none = folder.write("b.csv", "text,id\na\nb\nc\n");
  DuplicatesOptions duplicates;
  EXPECT_THAT(said(duplicates, run_duplicates, 0, {file}), HasSubstr("10,000 could not be read"));
  DuplicatesOptions nothing;
  EXPECT_THAT(said(nothing, run_duplicates, 0, {none}), HasSubstr("3 could not be read"));
  ScoreOptions score;
  score.steps.clear();
  const std::string message = said(score, run_score, 1, {file, none, "--output", folder / "scored.jsonl.zst"});
  EXPECT_THAT(message, HasSubstr("30,000 records scored, 10,003 could not be read, the first: " + file + "@"));
}

}  // namespace
}  // namespace curate
