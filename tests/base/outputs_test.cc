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

TEST_F(Outputs, JsonLinesHaveTheirName) {
  const auto named = [&](const std::string& name) {
    return error_of([&] { base::check_output_is_records("--output", name); });
  };
  for (const char* name : {"a.jsonl", "a.jsonl.zst", "a.JSONL.GZ", "new/a.ndjson"})
    EXPECT_EQ(named(folder_ / name), "no error") << name;
  for (const char* name : {"a.parquet", "a.txt", "a.json", "a.csv.gz", "a.zst", "a", "jsonl"})
    EXPECT_THAT(named(folder_ / name), HasSubstr("expected a name that ends in .jsonl")) << name;
  EXPECT_EQ(named("/dev/null"), "no error");
  EXPECT_THAT(named(folder_ / "new/"), HasSubstr("the name of a folder"));
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
  std::string model, pairs, out_file, out_model;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "");
    v("model", model, "", base::PathKind::kModel);
    v("pairs", pairs, "", base::PathKind::kOutputFolder);
    v("out_file", out_file, "", base::PathKind::kOutputFile);
    v("out_model", out_model, "", base::PathKind::kOutputModel);
  }
};

std::string error_of_words(const std::vector<std::string>& words, const std::string& config = "") {
  Options options;
  base::OptionSet set(options);
  set.read_words(words);
  return error_of([&] { base::check_outputs(set, config); });
}

TEST_F(Outputs, AFolderHasNoNameOfAFile) {
  const std::string file = folder_.write("plain", "x");
  for (const char* option : {"--pairs", "--out-model"}) {
    for (const char* name : {"model.safetensors", "a.bin", "x/a.jsonl", "a.JSONL.zst", "a.parquet/", "a.tar.gz"})
      EXPECT_THAT(error_of_words({option, folder_ / name}), HasSubstr("name of a file")) << name;
    for (const char* name : {"merged", "llama-3.2", "a.gguf/b", "run.v1", "x.jsonl/sub", "deep/er/"})
      EXPECT_EQ(error_of_words({option, folder_ / name}), "no error") << name;
    EXPECT_THAT(error_of_words({option, file}), HasSubstr("the output folder is a file"));
  }
  EXPECT_THAT(error_of_words({"--pairs", folder_ / "x/a.gguf/"}), HasSubstr("lora merge"));
  EXPECT_THAT(error_of_words({"--pairs", folder_ / "a.GGUF"}), HasSubstr("lora merge"));
  EXPECT_TRUE(base::is_gguf_name("x/a.Gguf"));
}

TEST_F(Outputs, AFileHasNoNameOfAFolder) {
  fs::create_directories(folder_ / "there.gguf");
  fs::create_directory_symlink(folder_ / "there.gguf", folder_ / "link.gguf");
  for (const char* option : {"--out-file", "--out-model"}) {
    for (const char* name : {"there.gguf", "link.gguf"})
      EXPECT_THAT(error_of_words({option, folder_ / name}), HasSubstr("the output file is a folder")) << name;
    for (const char* name : {"new.gguf/", "new/x.gguf/"})
      EXPECT_THAT(error_of_words({option, folder_ / name}), HasSubstr("the name of a folder")) << name;
    for (const char* name : {"new.gguf", "missing/deep/x.gguf"})
      EXPECT_EQ(error_of_words({option, folder_ / name}), "no error") << name;
  }
  EXPECT_THAT(error_of_words({"--out-file", folder_ / "missing/"}), HasSubstr("the name of a folder"));
  EXPECT_EQ(error_of_words({"--out-file", "/dev/null"}), "no error");
  EXPECT_EQ(error_of_words({"--out-file", "-"}), "no error");
}

TEST_F(Outputs, WhereNothingCanBeMade) {
  const std::string file = folder_.write("plain", "x");
  for (const char* option : {"--pairs", "--out-file", "--out-model"})
    EXPECT_THAT(error_of_words({option, file + "/deep/new"}), HasSubstr(file + " is a file")) << option;
}

TEST_F(Outputs, AreFoundAmongTheOptions) {
  const std::string file = folder_.write("in.jsonl", "{}\n"), config = folder_.write("c.yaml", "");
  fs::create_directories(folder_ / "out");
  folder_.write("out/run.yaml", "");
  const std::string other = folder_.write("out/other.yaml", "");
  auto check = error_of_words;
  EXPECT_THAT(check({folder_ / "*.jsonl", "--out-file", file}, ""), HasSubstr("would overwrite the input"));
  EXPECT_THAT(check({"--model", file, "--out-file", file}, ""), HasSubstr("would overwrite the input"));
  EXPECT_THAT(check({"--out-file", config}, config), HasSubstr("would overwrite the input"));
  EXPECT_THAT(check({"--pairs", folder_ / "out"}, other), HasSubstr("the output folder"));
  EXPECT_EQ(check({"--pairs", folder_ / "out"}, folder_ / "out/run.yaml"), "no error");
  EXPECT_EQ(check({file, "missing.jsonl", "--pairs", folder_ / "new"}, config), "no error");
}

}  // namespace
