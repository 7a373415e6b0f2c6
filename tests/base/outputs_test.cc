#include "base/outputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/options.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Outputs : public testing::Test {
 protected:
  std::string check(const std::string& output, const std::string& input) {
    return error_of([&] { base::check_outputs({output}, {input}); });
  }
  TemporaryFolder folder_;
};

TEST_F(Outputs, AFileThatIsAnInputUnderAnyName) {
  const std::string input = folder_.write("in.jsonl", "{}\n");
  fs::create_directories(folder_ / "sub");
  fs::create_symlink(input, folder_ / "soft.jsonl");
  fs::create_hard_link(input, folder_ / "hard.jsonl");
  fs::create_directory_symlink(folder_.path(), folder_ / "again");
  for (const char* name : {"in.jsonl", "./in.jsonl", "sub/../in.jsonl", "soft.jsonl", "hard.jsonl", "again/in.jsonl"}) {
    EXPECT_THAT(check(folder_ / name, input), HasSubstr("would overwrite the input")) << name;
    EXPECT_THAT(check(input, folder_ / name), HasSubstr("would overwrite the input")) << name;
  }
  EXPECT_EQ(check(folder_ / "new.jsonl", input), "no error");
  EXPECT_EQ(check("-", "-"), "no error");
  EXPECT_EQ(check("", ""), "no error");
  EXPECT_EQ(check("/dev/null", "/dev/null"), "no error");
  EXPECT_EQ(check(folder_ / "out", "org/name"), "no error");
}

TEST_F(Outputs, WhatIsWrittenFirst) {
  const std::string part = folder_.write("x.ftz.part", "1"), text = folder_.write("x.ftz.txt.part", "1");
  EXPECT_THAT(check(folder_ / "x.ftz", part), HasSubstr("would overwrite the input"));
  EXPECT_THAT(check(folder_ / "x.ftz", text), HasSubstr("would overwrite the input"));
  EXPECT_EQ(check(folder_ / "y.ftz", part), "no error");
}

TEST_F(Outputs, AFolderThatHoldsAnInputOrALinkToOne) {
  fs::create_directories(folder_ / "out/kept");
  fs::create_directories(folder_ / "elsewhere");
  const std::string inside = folder_.write("out/kept/0.jsonl", "{}\n");
  const std::string outside = folder_.write("elsewhere/in.jsonl", "{}\n");
  EXPECT_THAT(check(folder_ / "out", inside), HasSubstr("the output folder"));
  EXPECT_THAT(check(folder_ / "out/", folder_ / "out/kept/../kept/0.jsonl"), HasSubstr("the output folder"));
  EXPECT_THAT(check(folder_ / "out", folder_ / "out"), HasSubstr("the output folder"));
  EXPECT_THAT(check(folder_ / "out", folder_ / "out/kept"), HasSubstr("the output folder"));
  EXPECT_EQ(check(folder_ / "out", outside), "no error");
  EXPECT_EQ(check(folder_ / "out2", inside), "no error");  // a name that only begins so
  fs::create_hard_link(inside, folder_ / "elsewhere/hard.jsonl");
  EXPECT_THAT(check(folder_ / "out", folder_ / "elsewhere/hard.jsonl"), HasSubstr("holds a link to the input"));
  EXPECT_THAT(check(folder_ / "out", folder_ / "elsewhere"), HasSubstr("holds a link to the input"));
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "out/linked");
  EXPECT_THAT(check(folder_ / "out", outside), HasSubstr("the output folder"));
}

TEST_F(Outputs, AnInputFolderKeepsItsFiles) {
  fs::create_directories(folder_ / "run/adapter");
  fs::create_directories(folder_ / "blobs");
  const std::string blob = folder_.write("blobs/1", "x");
  const std::string weights = folder_.write("run/model.safetensors", "x");
  fs::create_symlink(blob, folder_ / "run/linked.safetensors");
  folder_.write("run/adapter.gguf", "x");
  fs::create_directories(folder_ / "run/merged");
  EXPECT_THAT(check(weights, folder_ / "run"), HasSubstr("would overwrite the input"));
  EXPECT_THAT(check(folder_ / "blobs", folder_ / "run"), HasSubstr("the output folder"));  // as in a hub cache
  EXPECT_EQ(check(folder_ / "run/adapter.gguf", folder_ / "run"), "no error");
  EXPECT_EQ(check(folder_ / "run/merged", folder_ / "run"), "no error");
  EXPECT_EQ(check(folder_ / "run/new", folder_ / "run"), "no error");
}

TEST_F(Outputs, TwoOutputsAreTwoFiles) {
  EXPECT_THAT(error_of([&] {
                base::check_outputs({folder_ / "a", folder_ / "b/../a"}, {});
              }),
              HasSubstr("two outputs are the same file"));
}

struct Options {
  std::vector<std::string> input;
  std::string model, pairs;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "");
    v("model", model, "", base::PathKind::kModel);
    v("pairs", pairs, "", base::PathKind::kOutput);
  }
};

TEST_F(Outputs, AreFoundAmongTheOptions) {
  const std::string file = folder_.write("in.jsonl", "{}\n"), config = folder_.write("c.yaml", "");
  fs::create_directories(folder_ / "out");
  folder_.write("out/run.yaml", "");
  const std::string other = folder_.write("out/other.yaml", "");
  auto check = [&](std::vector<std::string> words, const std::string& config_file = "") {
    Options options;
    base::OptionSet set(options);
    set.read_words(words);
    return error_of([&] { base::check_outputs(set, config_file); });
  };
  EXPECT_THAT(check({folder_ / "*.jsonl", "--pairs", file}), HasSubstr("would overwrite the input"));
  EXPECT_THAT(check({"--model", file, "--pairs", file}), HasSubstr("would overwrite the input"));
  EXPECT_THAT(check({"--pairs", config}, config), HasSubstr("would overwrite the input"));
  EXPECT_THAT(check({"--pairs", folder_ / "out"}, other), HasSubstr("the output folder"));
  EXPECT_EQ(check({"--pairs", folder_ / "out"}, folder_ / "out/run.yaml"), "no error");
  EXPECT_EQ(check({file, "missing.jsonl", "--pairs", folder_ / "new"}, config), "no error");
}

}  // namespace
