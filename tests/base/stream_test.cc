#include "base/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zstd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "tests/temporary_folder.h"

namespace {

using testing::HasSubstr;

struct Result {
  std::string bytes, error;
};

// Everything a reader gives, in reads of at most `size` bytes, and how it ended.
Result read_all(const std::string& path, std::size_t size = 1 << 16) {
  Result result;
  try {
    auto reader = base::open_reader(path);
    std::string buffer(size, '\0');
    while (std::size_t count = reader->read(buffer.data(), size)) {
      EXPECT_LE(reader->consumed(), reader->total());
      result.bytes.append(buffer, 0, count);
    }
    EXPECT_EQ(reader->read(buffer.data(), size), 0u);
    EXPECT_EQ(reader->consumed(), reader->total());
  } catch (const base::Error& error) {
    result.error = error.what();
  }
  return result;
}

// Bytes that compress a little, so that a frame has many blocks.
std::string sample(std::size_t size, std::uint64_t seed) {
  base::Random random(seed);
  std::string text;
  while (text.size() < size) text += "word" + std::to_string(random.below(100'000)) + (random.below(9) ? " " : "\n");
  text.resize(size);
  return text;
}

std::string packed(const TemporaryFolder& folder, const std::string& suffix, const std::string& bytes) {
  auto writer = base::open_writer(folder / ("packed" + suffix));
  for (std::size_t begin = 0; begin < bytes.size(); begin += 70'001) writer->write(bytes.substr(begin, 70'001));
  writer->commit();
  return base::read_file(folder / ("packed" + suffix));
}

class Stream : public testing::TestWithParam<const char*> {
 protected:
  std::string file(const std::string& bytes) { return folder_.write(std::string("in") + GetParam(), bytes); }
  TemporaryFolder folder_;
};

// Plain bytes carry no end and no checksum; these do.
class CompressedStream : public Stream {};

TEST_P(Stream, WrittenAndReadBack) {
  for (std::size_t size : {0, 1, 1000, 300'000, 2'000'000}) {
    std::string bytes = sample(size, size);
    std::string path = file(packed(folder_, GetParam(), bytes));
    for (std::size_t step : {1, 7, 4096, 1 << 20}) {
      if (size > 1000 && step < 4096) continue;
      Result result = read_all(path, step);
      EXPECT_EQ(result.error, "");
      EXPECT_TRUE(result.bytes == bytes) << size << " in steps of " << step;
    }
  }
}

TEST_P(Stream, WritesTheSameBytesTwiceAndNothingWithoutCommit) {
  std::string bytes = sample(500'000, 1);
  EXPECT_TRUE(packed(folder_, GetParam(), bytes) == packed(folder_, GetParam(), bytes));
  base::open_writer(folder_ / (std::string("gone") + GetParam()))->write(bytes);
  EXPECT_FALSE(std::filesystem::exists(folder_ / (std::string("gone") + GetParam())));
  EXPECT_FALSE(std::filesystem::exists(folder_ / (std::string("gone") + GetParam() + ".part")));
}

TEST_P(Stream, PiecesOneAfterAnother) {
  std::string a = sample(300'000, 1), b = sample(1000, 2);
  std::string bytes = packed(folder_, GetParam(), a) + packed(folder_, GetParam(), "") + packed(folder_, GetParam(), b);
  Result result = read_all(file(bytes));
  EXPECT_EQ(result.error, "");
  EXPECT_TRUE(result.bytes == a + b);
}

TEST_P(CompressedStream, CutOffAnywhereGivesAPrefixAndAnError) {
  std::string bytes = sample(400'000, 3), whole = packed(folder_, GetParam(), bytes);
  base::Random random(4);
  std::vector<std::size_t> cuts = {1, 2, 3, 4, 5, 9, 10, 17, 18, whole.size() - 1, whole.size() - 4, whole.size() - 8};
  for (int i = 0; i < 20; ++i) cuts.push_back(1 + random.below(whole.size() - 1));
  for (std::size_t cut : cuts) {
    Result result = read_all(file(whole.substr(0, cut)));
    ASSERT_THAT(result.error, HasSubstr("cut off")) << cut;
    ASSERT_THAT(result.error, HasSubstr("in" + std::string(GetParam()) + "@" + std::to_string(cut)));
    ASSERT_TRUE(bytes.starts_with(result.bytes)) << cut;
    if (cut == whole.size() - 4) {
      ASSERT_GT(result.bytes.size(), bytes.size() / 2);  // what was readable was given
    }
    // A whole piece before the cut one is given whole.
    Result second = read_all(file(whole + whole.substr(0, cut)));
    ASSERT_THAT(second.error, HasSubstr("cut off")) << cut;
    ASSERT_TRUE(second.bytes.starts_with(bytes)) << cut;
  }
}

TEST_P(CompressedStream, FlippedBytesNeverPassUnseen) {
  std::string bytes = sample(50'000, 5), whole = packed(folder_, GetParam(), bytes);
  base::Random random(6);
  for (int i = 0; i < 300; ++i) {
    std::string broken = whole;
    broken[random.below(broken.size())] ^= static_cast<char>(1 + random.below(255));
    Result result = read_all(file(broken));
    // gzip's header holds bytes that mean nothing (time, system), so a whole reading is right too.
    if (result.error.empty()) {
      ASSERT_TRUE(result.bytes == bytes);
    }
    ASSERT_LE(result.bytes.size(), 100'000'000u);
  }
}

TEST_P(CompressedStream, OtherBytesBehindThePieceAreAnError) {
  std::string bytes = sample(1000, 7), whole = packed(folder_, GetParam(), bytes);
  Result result = read_all(file(whole + "these are no frame"));
  EXPECT_EQ(result.bytes, bytes);
  EXPECT_THAT(result.error, HasSubstr("corrupt"));
  EXPECT_THAT(read_all(file("no\1frame")).error, HasSubstr("corrupt"));
  EXPECT_EQ(read_all(file("no frame at all")).bytes, "no frame at all");  // a text under a wrong name
  EXPECT_EQ(read_all(file("")).error, "");
}

INSTANTIATE_TEST_SUITE_P(, CompressedStream, testing::Values(".zst", ".gz"),
                         [](const auto& info) { return std::string(info.param).substr(1); });
INSTANTIATE_TEST_SUITE_P(, Stream, testing::Values(".txt", ".zst", ".gz"),
                         [](const auto& info) { return std::string(info.param).substr(1); });

TEST(StreamGzip, ZeroPaddingAfterTheLastMemberIsAllowed) {
  TemporaryFolder folder;
  std::string whole = packed(folder, ".gz", "hello");
  EXPECT_EQ(read_all(folder.write("x.gz", whole + std::string(1'000'000, '\0'))).bytes, "hello");
  EXPECT_EQ(read_all(folder.write("x.gz", whole + std::string(10, '\0'))).error, "");
}

TEST(StreamZstd, FramesOfWorkersConcatenateAndSkippableFramesAreSkipped) {
  TemporaryFolder folder;
  std::string a = sample(200'000, 1), b = sample(5, 2);
  std::string skippable("\x50\x2A\x4D\x18\x04\0\0\0skip", 12);
  Result result = read_all(
      folder.write("x.zst", base::zstd_compress(a) + skippable + base::zstd_compress("") + base::zstd_compress(b, 19)));
  EXPECT_EQ(result.error, "");
  EXPECT_TRUE(result.bytes == a + b);
}

TEST(StreamZstd, AHugeWindowIsRefused) {
  // A hand-made frame header: no content size, window descriptor for 2^31 bytes, then one raw block.
  std::string frame("\x28\xB5\x2F\xFD", 4);
  frame += '\x00';                             // frame header descriptor: no single segment, no checksum
  frame += static_cast<char>((31 - 10) << 3);  // window log 31
  frame += std::string("\x09\0\0x", 4);        // last block, raw, one byte
  TemporaryFolder folder;
  EXPECT_THAT(read_all(folder.write("x.zst", frame)).error, HasSubstr("window above 128 MB"));
  frame[5] = static_cast<char>((27 - 10) << 3);
  Result allowed = read_all(folder.write("x.zst", frame));
  EXPECT_EQ(allowed.error, "");
  EXPECT_EQ(allowed.bytes, "x");
}

TEST(StreamZstd, ABombIsReadInBoundedMemory) {
  TemporaryFolder folder;
  // 2 GB of zeros in 65 kB of file.
  std::string piece = base::zstd_compress(std::string(64 << 20, '\0'), 3), bomb;
  for (int i = 0; i < 32; ++i) bomb += piece;
  auto reader = base::open_reader(folder.write("bomb.zst", bomb));
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  std::string buffer(1 << 20, '\0');
  std::uint64_t total = 0;
  while (std::size_t count = reader->read(buffer.data(), buffer.size())) total += count;
  getrusage(RUSAGE_SELF, &after);
  EXPECT_EQ(total, std::uint64_t{2} << 30);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10) << "kB";
}

TEST(StreamErrors, AMissingFileAndAFolder) {
  TemporaryFolder folder;
  EXPECT_THAT(read_all(folder / "none.zst").error, HasSubstr("No such file"));
  EXPECT_THAT(read_all(folder.path().string()).error, HasSubstr("Is a directory"));
  folder.write("file", "");
  EXPECT_THROW(base::open_writer(folder / "file/is/none.zst"), base::Error);
}

TEST(StreamErrors, ADiskThatIsFull) {
  for (const char* suffix : {"", ".gz", ".zst"}) {
    TemporaryFolder folder;
    std::filesystem::create_symlink("/dev/full", folder / (std::string("out") + suffix));
    auto writer = base::open_writer(folder / (std::string("out") + suffix));
    EXPECT_THROW(
        {
          writer->write(sample(4'000'000, 1));
          writer->commit();
        },
        base::Error);
  }
}

TEST(StreamSuffix, Without) {
  EXPECT_EQ(base::without_compression_suffix("a/b.jsonl.zst"), "a/b.jsonl");
  EXPECT_EQ(base::without_compression_suffix("b.gz"), "b");
  EXPECT_EQ(base::without_compression_suffix("b.txt"), "b.txt");
}

}  // namespace
