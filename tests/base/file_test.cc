#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/error.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(File, WrittenAndReadBack) {
  TemporaryFolder folder;
  std::string bytes("a\0b\n", 4);
  base::write_file(folder / "x", bytes);
  EXPECT_EQ(base::read_file(folder / "x"), bytes);
  base::write_file(folder / "x", "");
  EXPECT_EQ(base::read_file(folder / "x"), "");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("x"));
  EXPECT_FALSE(base::read_file("/proc/self/status").empty());  // a file that says its size is 0
  std::string large(5'000'000, 'y');
  base::write_file(folder / "x", large);
  EXPECT_TRUE(base::read_file(folder / "x") == large);
}

TEST(File, ErrorsNameTheFileAndTheReason) {
  TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { base::read_file(folder / "none"); }), HasSubstr("none: cannot open the file: No such"));
  EXPECT_THAT(error_of([&] { base::read_file(folder.path()); }), HasSubstr("Is a directory"));
  EXPECT_THAT(error_of([&] { base::MappedFile file(folder.path()); }), HasSubstr("Is a directory"));
  { base::FileWriter file(folder / "no/deep/x"); }
  EXPECT_FALSE(fs::exists(folder / "no"));  // nothing came into the folders that were made
  base::write_file(folder / "yes/deep/x", "1");
  EXPECT_EQ(base::read_file(folder / "yes/deep/x"), "1");
  EXPECT_THAT(error_of([&] { base::FileWriter file(folder / "yes/deep/x/y"); }), HasSubstr("Not a directory"));
  EXPECT_THAT(error_of([&] { base::FileWriter file(folder.path()); }), HasSubstr("Is a directory"));
  EXPECT_THAT(error_of([&] { base::write_file("/dev/full", "x"); }),
              testing::AllOf(HasSubstr("No space left"), HasSubstr("free some disk space")));
}

TEST(File, NoPartIsLeftAfterAnException) {
  TemporaryFolder folder;
  base::write_file(folder / "x", "old");
  EXPECT_THROW(
      {
        base::FileWriter file(folder / "x");
        file.write(std::string(1'000'000, 'n'));
        EXPECT_THAT(names_in(folder.path()), ElementsAre("x", "x.part"));
        throw std::runtime_error("stop");
      },
      std::runtime_error);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("x"));
  EXPECT_EQ(base::read_file(folder / "x"), "old");
}

TEST(File, AKilledWriterLeavesTheOldFileWhole) {
  TemporaryFolder folder;
  base::write_file(folder / "x", "old");
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    base::FileWriter file(folder / "x");
    for (;;) file.write(std::string(100'000, 'n')), usleep(100);
  }
  while (!fs::exists(folder / "x.part") || fs::file_size(folder / "x.part") == 0) usleep(1000);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(base::read_file(folder / "x"), "old");
  base::write_file(folder / "x", "new");  // the part of the killed writer is in nobody's way
  EXPECT_THAT(names_in(folder.path()), ElementsAre("x"));
  EXPECT_EQ(base::read_file(folder / "x"), "new");
}

TEST(File, HasOneWriterAtATime) {
  TemporaryFolder folder;
  {
    base::FileWriter first(folder / "x");
    first.write("first");
    EXPECT_THAT(error_of([&] { base::write_file(folder / "x", "second"); }), HasSubstr("another run writes there"));
    EXPECT_THAT(names_in(folder.path()), ElementsAre("x.part"));
    first.commit();
  }
  EXPECT_EQ(base::read_file(folder / "x"), "first");
  folder.write("x.part", "longer than what comes");  // of one that was killed
  base::write_file(folder / "x", "third");
  EXPECT_EQ(base::read_file(folder / "x"), "third");
}

TEST(File, WhatHasNoEndIsNotReadOn) {
  EXPECT_THAT(error_of([&] { base::read_file("/dev/zero", 1 << 20); }), HasSubstr("too large, or has no end"));
  TemporaryFolder folder;
  EXPECT_EQ(base::read_file(folder.write("x", "12345"), 5), "12345");
  EXPECT_THAT(error_of([&] { base::read_file(folder / "x", 4); }), HasSubstr("too large"));
}

TEST(File, FoldersOfOthersStay) {
  TemporaryFolder folder;
  {
    const base::NewFolders first(folder / "a/x");
    const base::NewFolders second(folder / "a/b/x");
    EXPECT_TRUE(fs::exists(folder / "a/b"));
  }
  EXPECT_FALSE(fs::exists(folder / "a"));
  const base::NewFolders outer(folder / "a/x");
  { const base::NewFolders inner(folder / "a/x"); }
  EXPECT_TRUE(fs::exists(folder / "a"));
}

TEST(File, ADeviceIsWrittenAsItIsAndALinkIsFollowed) {
  base::write_file("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  TemporaryFolder folder;
  base::write_file(folder / "target", "old");
  fs::create_symlink("target", folder / "link");
  base::write_file(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(base::read_file(folder / "target"), "new");
}

TEST(File, PositionCountsWhatWasWritten) {
  TemporaryFolder folder;
  base::FileWriter file(folder / "x");
  std::string expected;
  for (std::size_t size : {0, 1, 1000, 262'143, 262'144, 262'145, 3}) {
    std::string piece(size, static_cast<char>('a' + size % 26));
    file.write(piece);
    expected += piece;
    EXPECT_EQ(file.position(), expected.size());
  }
  file.commit();
  file.commit();  // once more is nothing
  EXPECT_TRUE(base::read_file(folder / "x") == expected);
  EXPECT_THROW(file.write("more"), base::Error);
}

TEST(File, Mapped) {
  TemporaryFolder folder;
  base::MappedFile file(folder.write("x", "abc"));
  base::MappedFile moved = std::move(file);
  ASSERT_EQ(moved.bytes().size(), 3u);
  EXPECT_EQ(static_cast<char>(moved.bytes()[2]), 'c');
  base::MappedFile empty(folder.write("empty", ""));
  EXPECT_EQ(empty.bytes().size(), 0u);
  moved = std::move(empty);
  EXPECT_EQ(moved.bytes().size(), 0u);
}

TEST(File, RandomAccess) {
  TemporaryFolder folder;
  base::RandomAccessFile file(folder.write("x", "0123456789"));
  std::string got = "....";
  file.read(3, got.data(), 4);
  EXPECT_EQ(got, "3456");
  EXPECT_EQ(file.size(), 10u);
  EXPECT_THAT(error_of([&] { file.read(8, got.data(), 3); }), HasSubstr("cut off"));
  EXPECT_THAT(error_of([&] { base::RandomAccessFile missing(folder / "missing"); }), HasSubstr("missing"));
}

TEST(File, FreeSpace) {
  TemporaryFolder folder;
  base::check_free_space(folder.path() / "not/yet/there", 1);
  EXPECT_THAT(error_of([&] { base::check_free_space(folder.path(), std::uint64_t{1} << 60); }),
              HasSubstr("not enough disk space"));
}

}  // namespace
