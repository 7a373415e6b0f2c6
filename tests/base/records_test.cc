#include "base/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "base/stream.h"
#include "tests/temporary_folder.h"

namespace {

using base::BadBytes;
using base::Place;
using base::RecordOptions;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

struct Record {
  std::string line;
  Place place;
};

struct Read {
  std::vector<std::string> lines;
  std::vector<Record> records;
  std::vector<BadBytes> bad;
};

Read read(const std::vector<std::string>& files, const RecordOptions& options = {}) {
  Read result;
  base::BlockReader reader(files, options);
  std::uint64_t ordinal = 0;
  while (auto block = reader.next(result.bad)) {
    EXPECT_EQ(block->ordinal, ordinal++);
    EXPECT_EQ(block->file, block->first.file);
    base::for_each_line(*block, [&](std::string_view line, const Place& place) {
      result.lines.emplace_back(line);
      result.records.push_back({std::string(line), place});
    });
  }
  EXPECT_TRUE(reader.progress() == 1 || reader.progress() == -1 || options.limit > 0);
  return result;
}

class Records : public testing::Test {
 protected:
  Read read_bytes(const std::string& name, const std::string& bytes, const RecordOptions& options = {}) {
    return read({folder_.write(name, bytes)}, options);
  }
  TemporaryFolder folder_;
};

TEST_F(Records, JsonLinesWithEveryLineEnd) {
  Read result = read_bytes("x.jsonl", "\xEF\xBB\xBF{\"a\":1}\r\n\n  \t\r\n{\"b\":2}\n{\"c\":3}");
  EXPECT_THAT(result.lines, ElementsAre("{\"a\":1}", "{\"b\":2}", "{\"c\":3}"));
  EXPECT_THAT(result.bad, IsEmpty());
  EXPECT_EQ(result.records[0].place.offset, 3u);
  EXPECT_EQ(result.records[1].place.line, 4u);
  EXPECT_EQ(result.records[1].place.offset, 18u);
  EXPECT_EQ(result.records[2].place.line, 5u);
}

TEST_F(Records, EmptyFilesGiveNothing) {
  for (const char* name : {"a.jsonl", "a.json", "a.csv", "a.txt", "a.jsonl.zst", "a.csv.gz"}) {
    for (const char* bytes : {"", "\xEF\xBB\xBF", "\n\r\n \n"}) {
      if (std::string(name).size() > 7 && *bytes) continue;  // of the packed ones, the file of no bytes
      Read result = read_bytes(name, bytes);
      EXPECT_THAT(result.lines, IsEmpty()) << name;
      EXPECT_THAT(result.bad, IsEmpty()) << name;
    }
  }
  EXPECT_THAT(read({}).lines, IsEmpty());
}

TEST_F(Records, BytesOfALineAreLeftToItsConsumer) {
  std::string nul("{\"a\":\"\0\"}\n", 10), invalid = "{\"a\":\"\xFF\"}\n";
  EXPECT_THAT(read_bytes("x.jsonl", nul + invalid).lines, ElementsAre(nul.substr(0, 9), invalid.substr(0, 9)));
}

TEST_F(Records, AnUnknownSuffixAMissingFileAndAFolderAreRefusedAtOnce) {
  auto open = [](const std::string& file) { base::BlockReader reader({file}, {}); };
  EXPECT_THROW(open(folder_.write("x.xml", "")), base::UsageError);
  EXPECT_THROW(open(folder_.write("jsonl", "")), base::UsageError);
  EXPECT_THROW(open(folder_ / "none.jsonl"), base::Error);
  std::filesystem::create_directories(folder_ / "d.jsonl");
  EXPECT_THROW(open(folder_ / "d.jsonl"), base::UsageError);
  EXPECT_EQ(base::record_format("-"), "jsonl");
  EXPECT_EQ(base::record_format("a.ndjson.gz"), "jsonl");
  EXPECT_EQ(base::record_format("a.json.zst"), "json");
  EXPECT_EQ(base::record_format("a.parquet"), "parquet");
  EXPECT_EQ(base::record_format("a.parquet.zst"), "");
}

// The model: split at every newline, drop blank lines.
TEST_F(Records, RandomLinesInRandomBlocksEqualTheNaiveSplit) {
  base::Random random(1);
  for (int round = 0; round < 400; ++round) {
    std::string bytes;
    for (std::uint64_t n = random.below(40); n > 0; --n) {
      constexpr std::string_view kBytes = "\n\n\n\r\r ab}\"";
      if (random.below(4) == 0) bytes += std::string(random.below(50), 'x');
      bytes += kBytes[random.below(kBytes.size())];
    }
    RecordOptions options;
    options.block_bytes = 1 + random.below(40);
    options.max_record_bytes = random.below(3) ? 1 << 20 : 5 + random.below(40);
    std::vector<std::string> expected, expected_bad;
    std::vector<std::uint64_t> places;
    std::uint64_t line_number = 0;
    const std::string as_written = bytes;
    if (bytes.find('\n') == bytes.npos) std::replace(bytes.begin(), bytes.end(), '\r', '\n');
    for (std::size_t begin = 0; begin < bytes.size();) {
      std::size_t end = std::min(bytes.find('\n', begin), bytes.size());
      std::string line = bytes.substr(begin, end - begin);
      ++line_number;
      if (line.size() > options.max_record_bytes) {
        expected_bad.push_back(std::to_string(line_number) + "@" + std::to_string(begin) + " " + line);
      } else {
        if (line.ends_with('\r')) line.pop_back();
        if (line.find_first_not_of(" \t\r") != line.npos) {
          expected.push_back(line);
          places.push_back(begin);
        }
      }
      begin = end + 1;
    }
    std::string file =
        round % 2 ? folder_.write("x.jsonl", as_written)
                  : folder_.write("x.jsonl.zst", base::zstd_compress(as_written.substr(0, as_written.size() / 2)) +
                                                     base::zstd_compress(as_written.substr(as_written.size() / 2)));
    Read result = read({file}, options);
    ASSERT_EQ(result.lines, expected) << nlohmann::json(bytes);
    for (std::size_t i = 0; i < places.size(); ++i) ASSERT_EQ(result.records[i].place.offset, places[i]);
    std::vector<std::string> bad;
    for (const BadBytes& b : result.bad) {
      bad.push_back(std::to_string(b.place.line) + "@" + std::to_string(b.place.offset) + " " + b.bytes);
      ASSERT_EQ(b.size, b.bytes.size());
    }
    ASSERT_EQ(bad, expected_bad) << nlohmann::json(bytes) << options.block_bytes << " " << options.max_record_bytes;
  }
}

TEST_F(Records, ALongLineIsBadBytesAndReadingGoesOn) {
  RecordOptions options;
  options.max_record_bytes = 1 << 20;
  Read result = read_bytes("x.jsonl", "{\"a\":1}\n" + std::string(64 << 20, 'x') + "\n{\"b\":2}\n", options);
  EXPECT_THAT(result.lines, ElementsAre("{\"a\":1}", "{\"b\":2}"));
  ASSERT_THAT(result.bad, SizeIs(1));
  EXPECT_EQ(result.bad[0].size, std::uint64_t{64} << 20);
  EXPECT_EQ(result.bad[0].bytes, std::string(4096, 'x'));
  EXPECT_EQ(result.bad[0].place.offset, 8u);
  EXPECT_EQ(result.bad[0].place.line, 2u);
  EXPECT_THAT(result.bad[0].error, HasSubstr("longer than"));
  EXPECT_EQ(result.records[1].place.line, 3u);
  // Within the default limit the same line is a record.
  EXPECT_THAT(read_bytes("x.jsonl", std::string(64 << 20, 'x')).lines, SizeIs(1));
}

TEST_F(Records, TruncatedAndConcatenatedFrames) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += "{\"id\":" + std::to_string(i * 7919 % 50'021) + "}\n";
  std::string frame = base::zstd_compress(text);
  EXPECT_THAT(read_bytes("two.jsonl.zst", frame + frame).lines, SizeIs(100'000));
  Read cut = read_bytes("cut.jsonl.zst", frame + frame.substr(0, frame.size() / 2));
  EXPECT_GT(cut.lines.size(), 50'000u);
  EXPECT_LT(cut.lines.size(), 100'000u);
  ASSERT_THAT(cut.bad, SizeIs(1));
  EXPECT_THAT(cut.bad[0].error, HasSubstr("cut.jsonl.zst@" + std::to_string(frame.size() + frame.size() / 2)));
  EXPECT_EQ(cut.bad[0].bytes.find('\n'), std::string::npos);
  EXPECT_EQ(cut.bad[0].place.line, cut.lines.size() + 1);
  // Every decoded byte is in a line or in the bad bytes.
  std::uint64_t offset = cut.records.back().place.offset + cut.records.back().line.size() + 1;
  EXPECT_EQ(cut.bad[0].place.offset, offset);
  EXPECT_TRUE((text + text).substr(offset).starts_with(cut.bad[0].bytes));
  // The next file is read as if nothing had been.
  Read next = read({folder_ / "cut.jsonl.zst", folder_.write("next.jsonl", "{}\n")});
  EXPECT_EQ(next.lines.size(), cut.lines.size() + 1);
  EXPECT_EQ(next.records.back().place.file, 1u);
  Read garbage = read_bytes("x.jsonl.gz", "not\1gzip");
  EXPECT_THAT(garbage.lines, IsEmpty());
  ASSERT_THAT(garbage.bad, SizeIs(1));
}

TEST_F(Records, ABombOfOneLineStaysWithinTheLimit) {
  std::string piece = base::zstd_compress(std::string(64 << 20, 'x')), bomb;
  for (int i = 0; i < 4; ++i) bomb += piece;
  RecordOptions options;
  options.max_record_bytes = 4 << 20;
  for (const char* name : {"x.jsonl.zst", "x.txt.zst", "x.csv.zst"}) {
    Read result = read_bytes(name, bomb + base::zstd_compress("\n{}\n"), options);
    ASSERT_FALSE(result.bad.empty()) << name;
    EXPECT_GE(result.bad[0].size, std::uint64_t{256} << 20) << name;
  }
  Read array =
      read_bytes("x.json.zst", base::zstd_compress("[{},\"") + bomb + base::zstd_compress("\",{\"b\":1}]"), options);
  EXPECT_THAT(array.lines, ElementsAre("{}", "{\"b\":1}"));
  ASSERT_THAT(array.bad, SizeIs(1));
  EXPECT_EQ(array.bad[0].size, (std::uint64_t{256} << 20) + 2);
}

TEST_F(Records, LimitCountsRecordsAcrossFilesAndFormats) {
  std::string lines = folder_.write("a.jsonl", "{}\n\n{}\nbad\n{}\n");
  std::string rows = folder_.write("b.csv", "k\n1\n2,2\n3\n4,4\n");
  RecordOptions options;
  for (std::uint64_t limit : {1, 3, 4, 5, 6, 7, 100}) {
    options.limit = limit;
    EXPECT_THAT(read({lines, rows}, options).lines, SizeIs(std::min<std::size_t>(limit, 6))) << limit;
  }
  options.limit = 5;
  EXPECT_THAT(read({lines, rows}, options).bad, IsEmpty());  // the ragged row lies behind the limit
  options.limit = 6;
  EXPECT_THAT(read({lines, rows}, options).bad, SizeIs(1));
}

TEST_F(Records, JsonArrays) {
  Read result = read_bytes("x.json", "\xEF\xBB\xBF [ {\"a\": \"]},{\\\"\"},\r\n{\"b\":\n [1, {}]}\n,3 , \"s\" ]\n ");
  EXPECT_THAT(result.lines, ElementsAre("{\"a\": \"]},{\\\"\"}", "{\"b\":  [1, {}]}", "3", "\"s\""));
  EXPECT_THAT(result.bad, IsEmpty());
  EXPECT_EQ(result.records[1].place.line, 2u);
  EXPECT_THAT(read_bytes("x.json", "[]").lines, IsEmpty());
  EXPECT_THAT(read_bytes("x.json", "[]").bad, IsEmpty());
}

TEST_F(Records, JsonArraysThatAreNot) {
  auto errors = [&](const std::string& bytes) {
    std::string all;
    for (const BadBytes& b : read_bytes("x.json", bytes).bad)
      all += std::to_string(b.place.offset) + "+" + std::to_string(b.size) + " " + b.error + "; ";
    return all;
  };
  EXPECT_THAT(errors("[{\"a\":1},{\"b\""), HasSubstr("9+4 the JSON array is cut off"));
  EXPECT_THAT(errors("[{\"a\":1},"), HasSubstr("9+0 the JSON array is cut off"));
  EXPECT_THAT(errors("["), HasSubstr("cut off"));
  EXPECT_EQ(errors("[1,]"), "") << "a comma too many loses nothing";
  EXPECT_THAT(errors("[,1]"), HasSubstr("1+1 an element"));
  EXPECT_THAT(errors("[1,,2]"), HasSubstr("3+1 an element"));
  EXPECT_THAT(errors("[1] x"), HasSubstr("4+1 bytes after the end"));
  EXPECT_THAT(errors("nonsense"), HasSubstr("0+8 not a JSON array"));
  EXPECT_THAT(errors("[{\"a\":\"x\n\"},{\"b\":1}]"), HasSubstr("line break"));
  Read cut = read_bytes("x.json", "[{\"a\":1},{\"b\":2},{\"c\": [1, 2");
  EXPECT_THAT(cut.lines, ElementsAre("{\"a\":1}", "{\"b\":2}"));
  // A bad element is its consumer's to judge, and costs no other.
  EXPECT_THAT(read_bytes("x.json", "[{\"a\":1], {\"b\" 2}, }, {\"c\":3}]").lines,
              ElementsAre("{\"a\":1]", "{\"b\" 2}", "}", "{\"c\":3}"));
}

TEST_F(Records, ObjectsInAJsonFile) {
  EXPECT_THAT(read_bytes("x.json", "{\"a\":1}\n{\"b\":\n{\"c\":3}\n").lines,
              ElementsAre("{\"a\":1}", "{\"b\":", "{\"c\":3}"));  // lines: a bad one costs one
  EXPECT_THAT(read_bytes("x.json", "{\n \"a\": [1,\n 2]\n}\n{\n}").lines, ElementsAre("{  \"a\": [1,  2] }", "{ }"));
  EXPECT_THAT(read_bytes("x.json", "{\"a\":1}").lines, ElementsAre("{\"a\":1}"));
}

TEST_F(Records, DeepNestingCostsNothing) {
  std::string deep = std::string(5'000'000, '[') + std::string(5'000'000, ']');
  EXPECT_THAT(read_bytes("x.json", "[" + deep + ",1]").lines, SizeIs(2));
  EXPECT_THAT(read_bytes("x.json", std::string(5'000'000, '[')).bad, SizeIs(1));
  EXPECT_THAT(read_bytes("x.json", std::string(5'000'000, '{')).bad, SizeIs(1));
}

TEST_F(Records, RandomArraysInRandomBlocksGiveTheirElements) {
  base::Random random(2);
  for (int round = 0; round < 300; ++round) {
    nlohmann::json array = nlohmann::json::array();
    for (std::uint64_t n = random.below(12); n > 0; --n) {
      nlohmann::json element = {{"k", std::string(random.below(30), "\"\\]},\n"[random.below(6)])},
                                {"l", {1, {}, "["}}};
      array.push_back(random.below(5) ? element : nlohmann::json(random.below(1000)));
    }
    RecordOptions options;
    options.block_bytes = 1 + random.below(60);
    Read result = read_bytes("x.json", array.dump(random.below(2) ? 2 : -1), options);
    ASSERT_THAT(result.bad, IsEmpty());
    ASSERT_EQ(result.lines.size(), array.size());
    for (std::size_t i = 0; i < array.size(); ++i) ASSERT_EQ(nlohmann::json::parse(result.lines[i]), array[i]);
  }
}

TEST_F(Records, CommaSeparated) {
  Read result = read_bytes("x.csv",
                           "\xEF\xBB\xBFtext,\"the \"\"id\"\"\"\r\n"
                           "plain,1\r\n"
                           "\"two\r\nlines, \"\"quoted\"\"\",2\n"
                           "\n"
                           "a\"b,\n"
                           ",\"\"");
  EXPECT_THAT(result.lines,
              ElementsAre("{\"text\":\"plain\",\"the \\\"id\\\"\":\"1\"}",
                          "{\"text\":\"two\\r\\nlines, \\\"quoted\\\"\",\"the \\\"id\\\"\":\"2\"}",
                          "{\"text\":\"a\\\"b\",\"the \\\"id\\\"\":\"\"}", "{\"text\":\"\",\"the \\\"id\\\"\":\"\"}"));
  EXPECT_THAT(result.bad, IsEmpty());
  EXPECT_EQ(result.records[1].place.line, 3u);
  EXPECT_EQ(result.records[2].place.line, 6u);
  EXPECT_THAT(read_bytes("x.csv", "k\r\na\r\rb\r").lines, ElementsAre("{\"k\":\"a\\r\\rb\"}"));
}

TEST_F(Records, RowsThatAreNone) {
  Read result = read_bytes("x.csv", "a,b\n1,2\n1\n1,2,3\n\"x\"y,2\n\xFF,2\n3,4\n\"open,5\n6,7\n");
  EXPECT_THAT(result.lines,
              ElementsAre("{\"a\":\"1\",\"b\":\"2\"}", "{\"a\":\"3\",\"b\":\"4\"}", "{\"a\":\"6\",\"b\":\"7\"}"));
  ASSERT_THAT(result.bad, SizeIs(5));
  EXPECT_THAT(result.bad[0].error, HasSubstr("1 fields where the header has 2"));
  EXPECT_EQ(result.bad[0].place.line, 3u);
  EXPECT_THAT(result.bad[1].error, HasSubstr("3 fields"));
  EXPECT_THAT(result.bad[2].error, HasSubstr("behind a closing quote"));
  EXPECT_THAT(result.bad[3].error, HasSubstr("UTF-8"));
  EXPECT_THAT(result.bad[4].error, HasSubstr("left open"));
  EXPECT_EQ(result.bad[4].bytes, "\"open,5");
  Read twice = read_bytes("x.csv", "a,b,a\n1,2,3\n");
  EXPECT_THAT(twice.lines, IsEmpty());
  ASSERT_THAT(twice.bad, SizeIs(1));
  EXPECT_THAT(twice.bad[0].error, HasSubstr("'a' twice"));
  EXPECT_EQ(twice.bad[0].size, 12u);
}

// What cannot be read waits in memory until a block is full: of nothing else, a block must end all the same, and each
// piece stays one that is counted.
TEST_F(Records, ManyBadPiecesWithoutARecordBetweenThemAreOneEach) {
  constexpr std::size_t kPieces = 25'000;
  struct Case {
    std::string name, begin, piece, end, line;
  };
  for (const Case& c :
       {Case{"x.json", "[", ",", "{}]", "{}"}, Case{"x.csv", "a,b\n", "1\n", "2,3\n", R"({"a":"2","b":"3"})"},
        Case{"x.txt", "", "\xFF\n", "y\n", R"({"text":"y","id":)"}}) {
    std::string bytes = c.begin;
    for (std::size_t i = 0; i < kPieces; ++i) bytes += c.piece;
    RecordOptions options;
    options.split_text = "line";
    Read result = read_bytes(c.name, bytes + c.end, options);
    ASSERT_THAT(result.lines, SizeIs(1)) << c.name;
    EXPECT_EQ(result.records[0].place.offset, bytes.size());
    EXPECT_THAT(result.lines[0], StartsWith(c.line));
    ASSERT_THAT(result.bad, SizeIs(kPieces)) << c.name;
    std::uint64_t size = 0;
    for (const BadBytes& piece : result.bad) size += piece.size;
    EXPECT_EQ(size, kPieces * (c.name == "x.json" ? 1 : c.piece.size() - 1)) << c.name;
    // With records between them each is one, and no block waits for many.
    bytes = c.begin;
    for (std::size_t i = 0; i < kPieces; ++i) bytes += (c.name == "x.json" ? "{}," : c.end) + c.piece;
    result = read_bytes(c.name, bytes + c.end, options);
    EXPECT_THAT(result.lines, SizeIs(kPieces + 1)) << c.name;
    EXPECT_THAT(result.bad, SizeIs(kPieces)) << c.name;
  }
}

TEST_F(Records, ColumnsBeyondCount) {
  std::string header, names;
  for (int i = 0; i < 200'000; ++i) {
    header += (i ? "," : "") + std::to_string(i);
    names += (i ? ",\"" : "{\"") + std::to_string(i) + "\":\"\"";
  }
  const std::string commas(199'999, ',');
  Read wide = read_bytes("x.csv", header + "\n" + commas + "\n" + commas + ",,\n" + commas + "\n");
  EXPECT_THAT(wide.lines, ElementsAre(names + "}", names + "}"));
  ASSERT_THAT(wide.bad, SizeIs(1));
  EXPECT_THAT(wide.bad[0].error, HasSubstr("200002 fields where the header has 200000"));
  // A row becomes as long as all the names: too long a record.
  RecordOptions options;
  options.max_record_bytes = header.size() + 1;
  wide = read_bytes("x.csv", header + "\n" + commas + "\n", options);
  EXPECT_THAT(wide.lines, IsEmpty());
  ASSERT_THAT(wide.bad, SizeIs(1));
  EXPECT_THAT(wide.bad[0].error, HasSubstr("longer than the limit"));
  Read many = read_bytes("x.csv", std::string(3'000'000, ',') + "\na\n");
  EXPECT_THAT(many.lines, IsEmpty());
  ASSERT_THAT(many.bad, SizeIs(1));
  EXPECT_THAT(many.bad[0].error, HasSubstr("the CSV header names 3000001 columns"));
  EXPECT_EQ(many.bad[0].size, 3'000'003u);
}

// Every line, read for itself, begins a row that never ends. Reading each anew to the limit would take hours.
TEST_F(Records, RowsThatAreTooLongAreReadOnce) {
  std::string rows = "a,b\n";
  for (int i = 0; i < 2'000'000; ++i) rows += "x\",\"\n";
  RecordOptions options;
  options.max_record_bytes = 1 << 20;
  Read result = read_bytes("x.csv", rows + "\"\n1,2\n", options);
  ASSERT_THAT(result.bad, SizeIs(testing::AllOf(testing::Gt(2), testing::Lt(1000))));
  std::uint64_t size = 0;
  for (const BadBytes& piece : result.bad) size += piece.size;
  EXPECT_GE(size + 16 + result.bad.size(), rows.size());  // but for line ends
}

TEST_F(Records, RandomTablesInRandomBlocksComeBack) {
  base::Random random(3);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = "k0,k1,k2\n";
    std::vector<nlohmann::json> expected;
    for (std::uint64_t n = random.below(10); n > 0; --n) {
      nlohmann::json row;
      for (int i = 0; i < 3; ++i) {
        std::string value;
        for (std::uint64_t m = random.below(8); m > 0; --m) value += ",\"\n\rab"[random.below(6)];
        row["k" + std::to_string(i)] = value;
        std::string quoted = "\"";
        for (char c : value) quoted += c == '"' ? "\"\"" : std::string(1, c);
        bytes += (i ? "," : "") + quoted + "\"";
      }
      bytes += random.below(2) ? "\r\n" : "\n";
      expected.push_back(row);
    }
    RecordOptions options;
    options.block_bytes = 1 + random.below(30);
    Read result = read_bytes("x.csv", bytes, options);
    ASSERT_THAT(result.bad, IsEmpty());
    ASSERT_EQ(result.lines.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(nlohmann::json::parse(result.lines[i]), expected[i]);
  }
}

TEST_F(Records, Text) {
  std::string text = "\xEF\xBB\xBFone\r\ntwo\n\n \nthree \"3\"\n";
  const std::string file = "x.txt";
  RecordOptions options;
  EXPECT_THAT(read_bytes("x.txt", text).lines,
              ElementsAre("{\"text\":\"one\\ntwo\\n\\n \\nthree \\\"3\\\"\\n\",\"id\":\"" + file + "\"}"));
  options.split_text = "line";
  options.text_field = "content";
  EXPECT_THAT(
      read_bytes("x.txt", text, options).lines,
      ElementsAre("{\"content\":\"one\",\"id\":\"" + file + ":1\"}", "{\"content\":\"two\",\"id\":\"" + file + ":2\"}",
                  "{\"content\":\"three \\\"3\\\"\",\"id\":\"" + file + ":5\"}"));
  options.split_text = "paragraph";
  EXPECT_THAT(read_bytes("x.txt", text, options).lines,
              ElementsAre("{\"content\":\"one\\ntwo\",\"id\":\"" + file + ":1\"}",
                          "{\"content\":\"three \\\"3\\\"\",\"id\":\"" + file + ":5\"}"));
  options.split_text = "word";
  EXPECT_THROW(read_bytes("x.txt", text, options), base::UsageError);
}

TEST_F(Records, TextThatIsNone) {
  Read result = read_bytes("x.txt", "a\xFF");
  EXPECT_THAT(result.lines, IsEmpty());
  ASSERT_THAT(result.bad, SizeIs(1));
  EXPECT_THAT(result.bad[0].error, HasSubstr("not valid UTF-8 at byte 1"));
  RecordOptions options;
  options.split_text = "line";
  result = read_bytes("x.txt", "good\n\xFF\ngood\n", options);
  EXPECT_THAT(result.lines, SizeIs(2));
  EXPECT_EQ(result.bad[0].place.line, 2u);
  options.max_record_bytes = 10;
  result = read_bytes("x.txt", "good\n" + std::string(11, 'x') + "\ngood", options);
  EXPECT_THAT(result.lines, SizeIs(2));
  ASSERT_THAT(result.bad, SizeIs(1));
  options.split_text = "file";
  result = read_bytes("x.txt", "good\n" + std::string(11, 'x') + "\ngood", options);
  EXPECT_THAT(result.lines, IsEmpty());
  ASSERT_THAT(result.bad, SizeIs(1));
  EXPECT_EQ(result.bad[0].size, 21u);
  // A document that a broken stream cut off is no document.
  std::string frame = base::zstd_compress("one\ntwo\nthr");
  result = read_bytes("x.txt.zst", frame.substr(0, frame.size() - 2));
  EXPECT_THAT(result.lines, IsEmpty());
  ASSERT_THAT(result.bad, SizeIs(1));
  EXPECT_EQ(result.bad[0].bytes, "one\ntwo\nthr");
}

TEST_F(Records, BadBytesSayWhetherTheRestOfTheFileIsLost) {
  auto lost = [&](const std::string& name, const std::string& bytes, const RecordOptions& options = {}) {
    std::string all;
    for (const BadBytes& bad : read_bytes(name, bytes, options).bad)
      all += std::to_string(bad.size) + (bad.lost ? " lost; " : "; ");
    return all;
  };
  RecordOptions options;
  options.max_record_bytes = 20;
  const std::string lines = "{\"a\":1}\n" + std::string(30, 'x') + "\n{\"a\":";
  const std::string frame = base::zstd_compress(lines);
  EXPECT_EQ(lost("x.jsonl", lines, options), "30; ");
  EXPECT_EQ(lost("x.jsonl.zst", frame.substr(0, frame.size() - 2), options), "30; 5 lost; ");
  EXPECT_EQ(lost("x.txt.zst", frame.substr(0, frame.size() - 2)), std::to_string(lines.size()) + " lost; ");
  EXPECT_EQ(lost("x.csv.zst", frame.substr(0, frame.size() - 2), options), "30; 5 lost; ");
  EXPECT_EQ(lost("x.json", "[{},,{}]"), "1; ");
  EXPECT_EQ(lost("x.json", "[{},{"), "1 lost; ");
  EXPECT_EQ(lost("x.json", "[{}, " + std::string(30, 'x'), options), "30 lost; ");
  EXPECT_EQ(lost("x.json", "[{},"), "0 lost; ");
  EXPECT_EQ(lost("x.json", "[{}] x\n{}"), "1; ");
  EXPECT_EQ(lost("x.json", "x\n[{}]"), "6 lost; ");
  EXPECT_EQ(lost("x.csv", "a,b\n1\n\xFF,2\n1,2,3"), "1; 3; 5; ");
  EXPECT_EQ(lost("x.csv", "a,b\n1,2\n1"), "1 lost; ");
  EXPECT_EQ(lost("x.csv", "a,b\n1,\"2\n3,4\n"), "4 lost; ");
  EXPECT_EQ(lost("x.csv", "a,a\n1,2\n"), "8 lost; ");
  std::string many = "a,b\n";
  for (int i = 0; i < 10'005; ++i) many += "1\n";
  EXPECT_THAT(lost("x.csv", many + "1"), EndsWith("; 1 lost; "));
}

TEST_F(Records, StandardInput) {
  std::string bytes;
  for (int i = 0; i < 50'000; ++i) bytes += "{\"id\":" + std::to_string(i) + "}\n";  // more than a pipe holds
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  int before = dup(STDIN_FILENO);
  dup2(ends[0], STDIN_FILENO);
  close(ends[0]);
  std::thread writer([&] {
    for (std::size_t done = 0; done < bytes.size();) {
      ssize_t count = write(ends[1], bytes.data() + done, bytes.size() - done);
      if (count <= 0) break;
      done += static_cast<std::size_t>(count);
    }
    close(ends[1]);
  });
  Read result = read({"-"});
  writer.join();
  dup2(before, STDIN_FILENO);
  close(before);
  EXPECT_THAT(result.lines, SizeIs(50'000));
  EXPECT_EQ(result.records.back().place.line, 50'000u);
}

TEST_F(Records, OneAtATimeWithBadBytesInBetween) {
  std::string rows = folder_.write("a.csv", "k\n1\n2,2\n3\n"), lines = folder_.write("b.jsonl", "{}\n");
  std::string seen;
  base::for_each_record(
      {rows, lines}, {},
      [&](std::string_view line, const Place& place, const std::string& file) {
        seen += std::string(line) + (file == rows ? " a:" : " b:") + std::to_string(place.line) + "; ";
      },
      [&](const BadBytes& bad, const std::string&) { seen += "bad:" + std::to_string(bad.place.line) + "; "; });
  EXPECT_EQ(seen, "{\"k\":\"1\"} a:2; bad:3; {\"k\":\"3\"} a:4; {} b:1; ");
  try {
    base::for_each_record({rows}, {}, [](std::string_view, const Place&, const std::string&) {});
    FAIL() << "bad bytes without on_bad must throw";
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("a.csv:3: 2 fields"));
  }
}

}  // namespace
