// How sources are commented: a file says at its top what it is and what tests it; three slashes are for public
// declarations, that is, for headers.
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = HORNBOOK_SOURCE_DIR;

std::vector<fs::path> sources(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".cc" || extension == ".h" || extension == ".cu") files.push_back(entry.path());
  }
  return files;
}

// The comment that `text` begins with, as one line.
std::string opening_comment(const std::string& text) {
  std::string comment;
  for (const std::string& line : base::split(text, '\n')) {
    if (!line.starts_with("//")) break;
    comment += (comment.empty() ? "" : " ") + std::string(base::trim(line.substr(2)));
  }
  return comment;
}

// What a comment names as its tests, each in full: "Tested by tests/a/b_test.cc, c_test.cc and tests/cli/d/e." A name
// without a folder lies in that of the name before it.
std::vector<std::string> tests_named(const std::string& comment) {
  static const re2::RE2 kTest(R"((tests/\w[\w/]*(?:\.(?:cc|py))?|\w+(?:_test\.cc|\.py)))");
  const std::size_t begin = comment.find("Tested by ");
  std::vector<std::string> tests;
  std::string test, folder;
  re2::StringPiece rest(begin == comment.npos ? "" : comment.data() + begin);
  while (re2::RE2::FindAndConsume(&rest, kTest, &test)) {
    if (test.find('/') == test.npos) test.insert(0, folder);
    folder = test.substr(0, test.rfind('/') + 1);
    tests.push_back(test);
  }
  return tests;
}

// Folders whose files all say what tests them.
const std::vector<std::string> kNamingTheirTests = {"base", "tokenizer", "curate", "lora", "finetune"};

TEST(Comments, EverySourceSaysWhatItIsAndWhatTestsIt) {
  for (const std::string& folder : kNamingTheirTests) {
    for (const fs::path& file : sources(folder)) {
      const std::string comment = opening_comment(base::read_file(file));
      EXPECT_GT(comment.size(), 10u) << file << " does not begin with what it is";
      if (file.extension() != ".cc") continue;
      const std::vector<std::string> tests = tests_named(comment);
      EXPECT_FALSE(tests.empty()) << file << " does not name its test: Tested by tests/...";
      for (const std::string& test : tests) EXPECT_TRUE(fs::exists(kRoot / test)) << file << " names " << test;
    }
  }
}

// Lines with three slashes where they do not belong: anywhere but in a header, and in one behind `private:`.
std::vector<int> misplaced_slashes(const std::string& text, bool header) {
  static const re2::RE2 kComment(R"((?:^|\s)///)"), kPrivate(R"(^\s*(?:private|protected):)"),
      kOpen(R"(^\s*(?:public:|\};))");
  std::vector<int> lines;
  int number = 0;
  std::size_t indent = std::string::npos;  // of `private:`; npos: not behind one
  for (const std::string& line : base::split(text, '\n')) {
    ++number;
    const std::size_t here = line.find_first_not_of(' ');
    if (re2::RE2::PartialMatch(line, kPrivate)) indent = here;
    if (indent != std::string::npos && here <= indent && re2::RE2::PartialMatch(line, kOpen))
      indent = std::string::npos;
    if ((!header || indent != std::string::npos) && re2::RE2::PartialMatch(line, kComment)) lines.push_back(number);
  }
  return lines;
}

TEST(Comments, ThreeSlashesStandOnPublicDeclarations) {
  int files = 0;
  for (const char* folder : {"base", "tokenizer", "curate", "lora", "finetune", "tests", "scripts"}) {
    for (const fs::path& file : sources(folder)) {
      ++files;
      for (const int line : misplaced_slashes(base::read_file(file), file.extension() == ".h"))
        ADD_FAILURE() << file.string() << ":" << line << ": // is enough here";
    }
  }
  EXPECT_GT(files, 100);
}

TEST(Comments, AMissingOrMisplacedOneIsSeen) {
  EXPECT_EQ(opening_comment("// A\n//  b.\n#include <x>\n// c\n"), "A b.");
  EXPECT_EQ(opening_comment("#include <x>\n// c\n"), "");
  EXPECT_TRUE(tests_named("What it is, see tests/a_test.cc.").empty());
  EXPECT_EQ(tests_named("It. Tested by tests/a/b_test.cc, c_test.cc and tests/cli/lora/info; see d_test."),
            (std::vector<std::string>{"tests/a/b_test.cc", "tests/a/c_test.cc", "tests/cli/lora/info"}));
  const auto with_slashes = [](std::string text) {  // for @; else this file were one with misplaced ones
    for (std::size_t at; (at = text.find('@')) != text.npos;) text.replace(at, 1, "///");
    return text;
  };
  const std::string header =
      with_slashes("@ A\nclass A {\n public:\n  int a;  @< b\n private:\n  int c_;  @< d\n};\n@ E\n");
  EXPECT_EQ(misplaced_slashes(header, true), std::vector<int>{6});
  EXPECT_EQ(misplaced_slashes(header, false), (std::vector<int>{1, 4, 6, 8}));
  EXPECT_TRUE(misplaced_slashes("// a\nint b;  // http:///c\n", false).empty());
  // A struct inside what is private ends neither it nor its indent.
  EXPECT_EQ(misplaced_slashes(with_slashes("class A {\n private:\n  struct B {\n  };\n  @ c\n};\n"), true),
            std::vector<int>{5});
}

}  // namespace
