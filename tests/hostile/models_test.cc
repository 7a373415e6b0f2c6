// Models that are not: `curate run` says so before it touches the input, or uses them without harm.
#include "base/file.h"
#include "base/random.h"
#include "tests/curate/small_fasttext.h"
#include "tests/error_of.h"
#include "tests/hostile/hostile_run.h"

namespace hostile {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class HostileModels : public testing::Test {
 protected:
  // Runs with the bytes as model of `step`; what it says.
  std::string attempt(const std::string& step, const std::string& bytes) {
    const std::string model = folder_.write("hostile.model", bytes);
    std::filesystem::remove_all(folder_ / "out");
    const std::string said = error_of([&] {
      Outcome outcome = run(folder_, {input_}, "steps:\n  - " + step + ": {model: " + model + extra_ + "}\n");
      EXPECT_EQ(outcome.report["read"]["records"], 2);
    });
    const bool wrote = std::filesystem::exists(folder_ / "out/report.json");
    EXPECT_EQ(wrote, said == "no error") << said;
    if (!wrote) {
      EXPECT_THAT(said, HasSubstr("hostile.model"));
    }
    return said;
  }
  // Cuts and changes; counts what was refused and what was used.
  void attempt_changes(const std::string& step, const std::string& bytes, std::size_t head) {
    base::Random random(17);
    int refused = 0, used = 0;
    for (int i = 0; i < 48; ++i) {
      std::string changed = bytes;
      if (i % 4 == 0) {
        changed.resize(random.below(changed.size()));
      } else {
        const std::uint64_t value = i % 4 == 1 ? ~std::uint64_t{0} : random();
        const std::size_t at = random.below((i % 2 ? std::min(head, bytes.size()) : bytes.size()) - 8);
        std::memcpy(&changed[at], &value, 1 + random.below(8));
      }
      if (changed == bytes) continue;
      (attempt(step, changed) == "no error" ? used : refused) += 1;
    }
    EXPECT_GT(refused, 12);
    used_ += used;
  }

  TemporaryFolder folder_;
  const std::string input_ = folder_.write("in.jsonl", record("a", "w1 bato n der \xE6\xBC\xA2") + record("b", ""));
  std::string extra_;
  int used_ = 0;
};

TEST_F(HostileModels, FilesThatAreNoModelAtAll) {
  extra_ = ", min_score: 0";
  for (const std::string& bytes :
       {std::string(), std::string("{}"), std::string(1000, '\0'), std::string(5000, '\xFF')}) {
    EXPECT_THAT(attempt("language", bytes), HasSubstr("cannot use the fastText model"));
    EXPECT_THAT(attempt("textbook", bytes), HasSubstr("cannot use the"));
  }
  EXPECT_THAT(
      error_of([&] { run(folder_, {input_}, "steps:\n  - language: {model: " + folder_.path().string() + "}\n"); }),
      HasSubstr("does not exist"));
}

TEST_F(HostileModels, FastTextModelsCutAndChanged) {
  extra_ = ", keep: [], min_score: 0";
  using fasttext::loss_name;
  for (const auto& good : {small_fasttext::train(folder_.path(), "dense", loss_name::softmax, 2, 2, false),
                           small_fasttext::train(folder_.path(), "tree", loss_name::hs, 4, 1, true, true, true, 600)}) {
    const std::string bytes = base::read_file(good);
    EXPECT_EQ(attempt("language", bytes), "no error");
    attempt_changes("language", bytes, 300);
  }
  EXPECT_GT(used_, 2);  // a changed number in a matrix is no error
}

TEST_F(HostileModels, TextbookModelsCutAndChanged) {
  extra_ = ", min_score: 0";
  const std::string bytes = base::read_file(HORNBOOK_SOURCE_DIR "/curate/models/textbook.model");
  EXPECT_EQ(attempt("textbook", bytes), "no error");
  attempt_changes("textbook", bytes, 5000);
  EXPECT_EQ(used_, 0);  // its checksum sees every change
}

}  // namespace
}  // namespace hostile
