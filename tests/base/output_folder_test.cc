#include "base/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/outputs.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

const std::string kOptions = "data: \"d\"\noutput: \"o\"\nthreads: 0\n";
const std::string kTrain = base::run_head("finetune", "train") + kOptions;

void prepare(const fs::path& folder, bool resume, bool overwrite, const std::string& run_yaml) {
  base::RunLock lock;
  base::prepare_output_folder(folder, resume, overwrite, run_yaml, lock);
}

TEST(OutputFolder, IsMadeKeptOrEmptied) {
  TemporaryFolder folder;
  const fs::path out = folder.path() / "a/out";
  prepare(out, false, false, kTrain);
  EXPECT_TRUE(fs::is_directory(out));
  prepare(out, false, false, kTrain);  // empty: fine
  base::write_file(out / "kept", "x");
  const std::string resumable = kTrain + "resume: false\n";
  EXPECT_THAT(error_of([&] { prepare(out, false, false, resumable); }),
              AllOf(HasSubstr("--resume"), HasSubstr("--overwrite")));
  EXPECT_THAT(error_of([&] { prepare(out, false, false, kTrain); }),
              AllOf(testing::Not(HasSubstr("--resume")), HasSubstr("--overwrite")));
  EXPECT_THAT(error_of([&] { prepare(out, false, true, kTrain); }), HasSubstr("run.yaml"));
  EXPECT_TRUE(fs::exists(out / "kept"));
  EXPECT_THAT(error_of([&] { prepare(out, true, true, kTrain); }), HasSubstr("exclude"));
  prepare(out, true, false, kTrain);
  EXPECT_TRUE(fs::exists(out / "kept"));
  base::write_file(out / "run.yaml", kTrain);
  fs::create_directories(out / "deep/er");
  prepare(out, false, true, kTrain);
  EXPECT_TRUE(fs::is_empty(out));
  const fs::path file = folder.write("f", "");
  EXPECT_THAT(error_of([&] { prepare(file, false, false, kTrain); }), HasSubstr("file"));
}

TEST(OutputFolder, OnlyTheSameCommandsIsEmptied) {
  TemporaryFolder folder;
  const fs::path out = folder.path();
  const auto refusal = [&](const char* name, const std::string& text, bool resume = false) {
    for (const fs::directory_entry& entry : fs::directory_iterator(out)) fs::remove_all(entry.path());
    base::write_file(out / "kept", "x");
    base::write_file(out / name, text);
    const std::string error = error_of([&] { prepare(out, resume, !resume, kTrain); });
    EXPECT_EQ(fs::exists(out / "kept"), resume || error != "no error") << text;
    return error;
  };
  const std::string curate = base::run_head("curate", "run");
  for (const char* name : {"run.yaml", "run.yaml.part"}) {
    EXPECT_THAT(refusal(name, curate + kOptions), AllOf(HasSubstr("'curate run'"), HasSubstr("'finetune train'")));
    EXPECT_THAT(refusal(name, base::run_head("finetune", "trainer") + kOptions), HasSubstr("not emptied"));
    EXPECT_THAT(refusal(name, "hi\n"), HasSubstr("not emptied"));
    EXPECT_EQ(refusal(name, kTrain), "no error");
    EXPECT_EQ(refusal(name, base::run_head("finetune", "train") + "gone: 1\n"), "no error");  // of another version
  }
  // Of a version that wrote no head: by its options.
  EXPECT_EQ(refusal("run.yaml", kOptions + "gone: 1\n"), "no error");
  EXPECT_THAT(refusal("run.yaml", "output: \"o\"\nsteps:\n  - c4\nmemory: 1\nthreads: 0\n"), HasSubstr("not emptied"));
  // Killed before there was more.
  EXPECT_EQ(refusal("run.yaml.part", ""), "no error");
  EXPECT_EQ(refusal("run.yaml.part", kTrain.substr(0, 5)), "no error");
  EXPECT_THAT(refusal("run.yaml.part", curate.substr(0, curate.size() - 1)), HasSubstr("'curate run'"));
  // Nor is another command's resumed.
  EXPECT_THAT(refusal("run.yaml", curate + kOptions, true), HasSubstr("nothing to resume"));
  EXPECT_EQ(refusal("run.yaml", kTrain, true), "no error");
  EXPECT_EQ(refusal("run.yaml", "edited: 1\n", true), "no error");
}

TEST(OutputFolder, IsHeldByOneRun) {
  TemporaryFolder folder;
  const fs::path out = folder.path() / "a/out";
  {
    base::RunLock first, second;
    first.take(out);
    EXPECT_FALSE(first.is_taken());  // there is none yet
    base::prepare_output_folder(out, false, false, kTrain, first);
    base::prepare_output_folder(out, false, false, kTrain, first);  // its own
    base::write_file(out / "run.yaml", kTrain);
    for (const bool resume : {true, false})
      EXPECT_THAT(error_of([&] { base::prepare_output_folder(out, resume, !resume, kTrain, second); }),
                  HasSubstr("another run writes there at this moment"));
    EXPECT_TRUE(fs::exists(out / "run.yaml"));
  }
  prepare(out, true, false, kTrain);
}

TEST(OutputFolder, ALinkToNothingIsSaid) {
  TemporaryFolder folder;
  fs::create_symlink("nowhere", folder / "link");
  for (const char* name : {"link", "link/deep"})
    EXPECT_THAT(error_of([&] { base::check_output_is_folder("--output", folder / name); }),
                AllOf(HasSubstr("leads to nothing"), HasSubstr("choose another output")));
}

TEST(OutputFolder, TheHeadIsALine) {
  EXPECT_EQ(base::run_head_of(kTrain), "# written by finetune train\n");
  EXPECT_EQ(base::run_head_of("# written by x"), "# written by x");
  EXPECT_EQ(base::run_head_of(kOptions), "");
  EXPECT_EQ(base::run_head_of(""), "");
}

}  // namespace
