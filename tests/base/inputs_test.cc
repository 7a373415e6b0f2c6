#include "base/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/folder_fields.h"
#include "base/program.h"
#include "base/records.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {
namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(Inputs, AreExpandedInOrder) {
  TemporaryFolder folder;
  for (const char* name : {"b.jsonl", "a.jsonl", "B.jsonl", "c.txt", "x[1].jsonl"}) folder.write(name, "");
  fs::create_directories(folder / "d.jsonl");
  auto in = [&](const char* name) { return folder / name; };
  EXPECT_THAT(base::expand_inputs({in("c.txt"), "-", in("?.jsonl")}),
              ElementsAre(in("c.txt"), "-", in("B.jsonl"), in("a.jsonl"), in("b.jsonl")));
  EXPECT_THAT(base::expand_inputs({in("x[1].jsonl")}), ElementsAre(in("x[1].jsonl")));  // a file of that very name
  EXPECT_THAT(base::expand_inputs({in("{a,c}.*")}), ElementsAre(in("a.jsonl"), in("c.txt")));
  EXPECT_THAT(error_of([&] { base::expand_inputs({in("*.csv")}); }), HasSubstr("no file matches"));
  EXPECT_THAT(error_of([&] { base::expand_inputs({in("none.csv")}); }), HasSubstr("no such file"));
  EXPECT_THAT(error_of([&] { base::expand_inputs({in("d.jsonl")}); }), HasSubstr("the folder holds no file"));
  EXPECT_THAT(error_of([&] { base::expand_inputs({in("d.json*")}); }), HasSubstr("no file matches"));
}

// A path of a config file is seen from that file's folder, where a newcomer expects the folder of the shell.
TEST(Inputs, WhatLiesInTheFolderOfTheShellIsNamed) {
  TemporaryFolder folder;
  fs::create_directories(folder / "data/in");
  folder.write("data/in/a.jsonl", "");
  const fs::path before = fs::current_path();
  fs::current_path(folder / "data");
  const auto of = [&](const std::string& word) { return error_of([&] { base::expand_inputs({word}); }); };
  const std::string configs = (folder / "configs");
  const std::string one = of(configs + "/in/a.jsonl"), glob = of(configs + "/in/*.jsonl"),
                    none = of(configs + "/b.jsonl");
  const std::string relative = of("a.jsonl");
  const std::string opened = error_of([&] { base::read_file(configs + "/in/a.jsonl"); });
  fs::current_path(before);
  EXPECT_THAT(one, HasSubstr("no such file\n  'in/a.jsonl' lies in the folder you started in; paths of a config"));
  EXPECT_THAT(glob, HasSubstr("\n  'in/*.jsonl' lies in the folder you started in"));
  EXPECT_THAT(opened, HasSubstr("No such file or directory\n  'in/a.jsonl' lies in the folder you started in"));
  EXPECT_THAT(none, EndsWith("no such file"));
  EXPECT_THAT(relative, EndsWith("no such file"));
}

TEST(Inputs, FoldersAreReadToTheirDepthAndSayWhatTheyLeaveOut) {
  TemporaryFolder folder;
  fs::create_directories(folder / "in/deep/er");
  fs::create_directories(folder / "in/.git");
  fs::create_directories(folder / "in/run/kept");
  fs::create_directories(folder / "elsewhere");
  for (const char* name : {"in/b.jsonl.zst", "in/deep/a.txt", "in/deep/er/c.csv", "in/deep/README.md",
                           "in/deep/more.md", "in/LICENSE", "in/.hidden.jsonl", "in/_SUCCESS", "in/.git/x.json",
                           "in/dataset_info.json", "in/run/run.yaml", "in/run/kept/0.jsonl", "elsewhere/y.jsonl"})
    folder.write(name, "x");
  fs::create_symlink(folder / "elsewhere", folder / "in/link");
  const base::FoundInputs found = base::find_inputs({folder / "in"});
  EXPECT_THAT(found.files,
              ElementsAre(folder / "in/b.jsonl.zst", folder / "in/deep/a.txt", folder / "in/deep/er/c.csv"));
  ASSERT_EQ(found.notes.size(), 1u);
  for (const char* part : {"2 .md", "1 LICENSE", "3 with a name that begins", "1 dataset_info.json", "1 linked folder",
                           "1 output of an earlier run"})
    EXPECT_THAT(found.notes[0], HasSubstr(part));
  EXPECT_THAT(base::expand_inputs({folder / "in/link"}), ElementsAre(folder / "in/link/y.jsonl"));
  EXPECT_THAT(base::expand_inputs({folder / "in/dee*"}),
              ElementsAre(folder / "in/deep/a.txt", folder / "in/deep/er/c.csv"));
  EXPECT_THAT(error_of([&] { base::expand_inputs({folder / "in/run"}); }), HasSubstr("in/run/kept"));
  EXPECT_THAT(base::expand_inputs({folder / "in/run/kept"}), ElementsAre(folder / "in/run/kept/0.jsonl"));
}

TEST(Inputs, OutputsOfEveryCommandAreKnown) {
  const TemporaryFolder folder;
  for (const char* name : {"ins/run.yaml", "ins/train.jsonl", "ins/dropped.jsonl", "ins/report.json", "run/run.yaml",
                           "run/metrics.jsonl", "run/samples.jsonl", "mine/dropped.jsonl", "mine/a.jsonl"}) {
    fs::create_directories(fs::path(folder / name).parent_path());
    folder.write(name, "{}");
  }
  EXPECT_THAT(error_of([&] { base::expand_inputs({folder / "ins"}); }), HasSubstr("ins/train.jsonl"));
  EXPECT_THAT(error_of([&] { base::expand_inputs({folder / "run"}); }), HasSubstr("output of a run"));
  base::FoundInputs found = base::find_inputs({folder.path().string()});
  EXPECT_THAT(found.files, ElementsAre(folder / "mine/a.jsonl", folder / "mine/dropped.jsonl"));
  EXPECT_THAT(found.notes[0], HasSubstr("2 output of an earlier run"));
  // A pattern takes the result, not what was said of it.
  found = base::find_inputs({folder / "ins/*.jsonl"});
  EXPECT_THAT(found.files, ElementsAre(folder / "ins/train.jsonl"));
  EXPECT_THAT(found.notes[0], HasSubstr("dropped.jsonl"));
  EXPECT_THAT(base::expand_inputs({folder / "ins/dropped.jsonl"}), ElementsAre(folder / "ins/dropped.jsonl"));
  EXPECT_THAT(error_of([&] { base::expand_inputs({folder / "**/*.jsonl"}); }), HasSubstr("name the folder itself"));
}

TEST(Inputs, AFileIsReadOnceHoweverItIsNamed) {
  TemporaryFolder folder;
  fs::create_directories(folder / "d");
  const std::string file = folder.write("d/a.jsonl", "x"), other = folder.write("d/b.jsonl", "x");
  fs::create_symlink(file, folder / "link.jsonl");
  fs::create_hard_link(file, folder / "d/hard.jsonl");
  const base::FoundInputs found = base::find_inputs({file, file, folder / "d/./a.jsonl", folder / "d/../d/a.jsonl",
                                                     folder / "link.jsonl", folder / "d/*.jsonl", folder / "d", "-"});
  EXPECT_THAT(found.files, ElementsAre(file, other, "-"));
  ASSERT_EQ(found.notes.size(), 9u);
  EXPECT_THAT(found.notes[0], HasSubstr("was named twice and is read once"));
  EXPECT_THAT(found.notes[3], HasSubstr("link.jsonl is the same file as"));
  std::ostringstream out, err;
  base::Context context{out, err, false, false, "", "test"};
  base::expand_inputs({file, file}, context);
  EXPECT_THAT(err.str(), HasSubstr("read once"));
}

TEST(Inputs, NamesAreRelativeToTheFolderThatHoldsAll) {
  TemporaryFolder folder;
  fs::create_directories(folder / "a");
  fs::create_directories(folder / "b/c");
  auto in = [&](const char* name) { return folder / name; };
  EXPECT_THAT(base::input_names({in("a/x.jsonl")}), ElementsAre("x.jsonl"));
  EXPECT_THAT(base::input_names({in("a/x.jsonl"), in("a/y.jsonl")}), ElementsAre("x.jsonl", "y.jsonl"));
  EXPECT_THAT(base::input_names({in("a/x.jsonl"), "-", in("b/c/x.jsonl")}),
              ElementsAre("a/x.jsonl", "-", "b/c/x.jsonl"));
  EXPECT_THAT(base::input_names({in("b/./x.jsonl"), in("b/c/../../a/x.jsonl")}), ElementsAre("b/x.jsonl", "a/x.jsonl"));
  const fs::path before = fs::current_path();
  fs::current_path(folder / "b/c");
  EXPECT_THAT(base::input_names({"x.jsonl", "../../a/x.jsonl", "./../x.jsonl"}),
              ElementsAre("b/c/x.jsonl", "a/x.jsonl", "b/x.jsonl"));
  fs::current_path(before);
}

TEST(Inputs, TextDocumentsAreCalledByThoseNames) {
  TemporaryFolder folder;
  fs::create_directories(folder / "a");
  fs::create_directories(folder / "b");
  const std::vector<std::string> files = {folder.write("a/x.txt", "one"), folder.write("b/x.txt", "two")};
  std::string all;
  base::for_each_record(files, {}, [&](std::string_view line, const base::Place&, const std::string&) { all += line; });
  EXPECT_EQ(all, R"({"text":"one","id":"a/x.txt"}{"text":"two","id":"b/x.txt"})");
}

TEST(FolderFields, AreWhatTheFoldersOfAPathSay) {
  EXPECT_THAT(base::folder_fields("/d/year=2024/lang=en/x.jsonl"),
              ElementsAre(Pair("year", "\"2024\""), Pair("lang", "\"en\"")));
  EXPECT_THAT(base::folder_fields("/d/a%3Db=c%2Fd%zz/x.jsonl"), ElementsAre(Pair("a=b", "\"c/d%zz\"")));
  EXPECT_THAT(base::folder_fields("/lang=__HIVE_DEFAULT_PARTITION__/x"), ElementsAre(Pair("lang", "null")));
  EXPECT_THAT(base::folder_fields("/k=1/k=/x"), ElementsAre(Pair("k", "\"\"")));
  EXPECT_THAT(base::folder_fields("/plain/=x/a=b.jsonl"), IsEmpty());
}

TEST(FolderFields, RecordsThatLackThemGetThem) {
  TemporaryFolder folder;
  fs::create_directories(folder / "lang=en");
  const std::string lines = R"({"text":"a"}

{"text":"b","l\u0061ng":"de"}
{ }
{"text":"c","inner":{"lang":1}} 
broken}
[1]
{"text":"d","lang":null})";
  for (const std::string name : {"lang=en/x.jsonl", "lang=en/x.csv"})
    folder.write(name, name.ends_with("csv") ? "text\ne\n" : lines);
  for (const bool lazy : {false, true}) {
    base::RecordOptions options;
    options.folder_fields = true;
    options.lazy = lazy;
    base::BlockReader reader({folder / "lang=en/x.jsonl", folder / "lang=en/x.csv"}, options);
    std::vector<base::BadBytes> bad;
    std::string all;
    while (auto block = reader.next(bad)) {
      base::decode_block(*block, bad);
      base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
        all += std::to_string(place.line) + "@" + std::to_string(place.offset) + " " + std::string(line) + "\n";
      });
    }
    EXPECT_EQ(all, R"(1@0 {"text":"a","lang":"en"}
3@14 {"text":"b","l\u0061ng":"de"}
4@44 { "lang":"en"}
5@48 {"text":"c","inner":{"lang":1},"lang":"en"}
6@81 broken}
7@89 [1]
8@93 {"text":"d","lang":null}
2@5 {"text":"e","lang":"en"}
)");
    EXPECT_THAT(bad, IsEmpty());
  }
}

}  // namespace
