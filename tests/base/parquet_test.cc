// Parquet files written by pyarrow (scripts/oracle/parquet_files.py), whole and damaged.
#include "base/parquet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/pipeline.h"
#include "base/random.h"
#include "base/text.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

using base::BadBytes;
using base::Block;
using base::Place;
using base::RecordOptions;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

std::string golden(const std::string& name) { return HORNBOOK_SOURCE_DIR "/tests/golden/base/" + name; }

// NaN, Infinity and -Infinity, which json::parse refuses, become strings.
json parse_loosely(std::string line) {
  for (const std::string name : {"-Infinity", "Infinity", "NaN"})
    for (std::size_t at = 0; (at = line.find(name, at)) != line.npos; at += name.size() + 2)
      if (line[at - 1] != '"' && line[at - 1] != '-') line.replace(at, name.size(), '"' + name + '"');
  return json::parse(line);
}

std::vector<json> golden_records(const std::string& name) {
  std::vector<json> records;
  for (const std::string& line : base::split(base::read_file(golden(name)), '\n'))
    if (!line.empty()) records.push_back(parse_loosely(line));
  return records;
}

struct Read {
  std::vector<std::string> lines;
  std::vector<Place> places;
  std::vector<BadBytes> bad;
  std::size_t blocks = 0;
};

void add(Read& read, const Block& block) {
  ++read.blocks;
  EXPECT_EQ(block.file, block.first.file);
  base::for_each_line(block, [&](std::string_view line, const Place& place) {
    read.lines.emplace_back(line);
    read.places.push_back(place);
  });
}

Read read(const std::vector<std::string>& files, const RecordOptions& options = {}) {
  Read result;
  base::BlockReader reader(files, options);
  while (auto block = reader.next(result.bad)) add(result, *block);
  EXPECT_TRUE(reader.progress() == 1 || options.limit > 0);
  return result;
}

// As `curate run` reads: blocks are decoded by the workers.
Read read_lazily(const std::vector<std::string>& files, RecordOptions options, int threads) {
  options.lazy = true;
  Read result;
  base::BlockReader reader(files, options);
  struct Item {
    Block block;
    std::vector<BadBytes> bad;
  };
  base::ordered_pipeline<Item, Item>(
      threads,
      [&]() -> std::optional<Item> {
        Item item;
        auto block = reader.next(item.bad);
        if (block) item.block = std::move(*block);
        if (!block && item.bad.empty()) return std::nullopt;
        return item;
      },
      [](Item item, int) {
        base::decode_block(item.block, item.bad);
        return item;
      },
      [&](Item item) {
        add(result, item.block);
        result.bad.insert(result.bad.end(), item.bad.begin(), item.bad.end());
      });
  return result;
}

RecordOptions small_blocks(std::size_t bytes) {
  RecordOptions options;
  options.block_bytes = bytes;
  return options;
}

TEST(Parquet, EveryTypeBecomesWhatPyarrowReads) {
  Read result = read({golden("types.parquet")});
  std::vector<json> expected = golden_records("types.jsonl");
  ASSERT_THAT(result.bad, IsEmpty());
  ASSERT_THAT(result.lines, SizeIs(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    json record = parse_loosely(result.lines[i]);
    ASSERT_EQ(record.size(), expected[i].size());
    for (const auto& [key, value] : expected[i].items()) {
      EXPECT_EQ(record.at(key), value) << key << " of row " << i;
      EXPECT_EQ(record.at(key).is_number_integer(), value.is_number_integer()) << key;  // 1.0 is no integer
    }
    EXPECT_EQ(result.places[i].line, i + 1);
    EXPECT_EQ(result.places[i].offset, i);
  }
  EXPECT_THAT(result.lines[0], HasSubstr("\"int64\":-9223372036854775808,"));
  EXPECT_THAT(result.lines[1], HasSubstr("\"uint64\":18446744073709551615,"));
}

TEST(Parquet, ABinaryTextFieldIsText) {
  RecordOptions options;
  options.text_field = "binary";
  Read result = read({golden("types.parquet")}, options);
  ASSERT_THAT(result.lines, SizeIs(4));
  EXPECT_EQ(parse_loosely(result.lines[3]).at("binary"), "abcd");
  EXPECT_EQ(parse_loosely(result.lines[3]).at("fixed"), "eHl6");
}

// As trainings read them: writers that do not mark text give it so. What is no UTF-8 is nobody's text.
TEST(Parquet, BytesThatAreUtf8AreTextWhereAsked) {
  RecordOptions options;
  options.bytes_are_text = true;
  Read result = read({golden("types.parquet")}, options);
  ASSERT_THAT(result.lines, SizeIs(4));
  EXPECT_EQ(parse_loosely(result.lines[3]).at("binary"), "abcd");
  EXPECT_EQ(parse_loosely(result.lines[3]).at("fixed"), (json{{"bytes", "eHl6"}})) << "a hash that happens to be UTF-8";
  std::size_t objects = 0;
  const std::vector<json> plain = golden_records("types.jsonl");
  for (std::size_t i = 0; i < 4; ++i) {
    const json value = parse_loosely(result.lines[i]).at("binary");
    if (!value.is_object()) continue;
    ++objects;
    EXPECT_EQ(value, (json{{"bytes", plain[i].at("binary")}}));
  }
  EXPECT_GE(objects, 1u);
}

TEST(Parquet, ABinaryTextFieldInsideAStructIsText) {
  RecordOptions options;
  auto row = [&](const char* field) {
    options.text_field = field;
    const Read result = read({golden("nested.parquet")}, options);
    return result.lines.size() == 3 ? parse_loosely(result.lines[1]) : json();
  };
  // As find_field has it: the member of the longest name that leads to one.
  const json plain = row("data.body.text");
  EXPECT_EQ(plain["data"]["body"], json({{"text", "first text"}, {"raw", "Zmlyc3QgdGV4dA=="}}));
  EXPECT_EQ(plain["data.body"]["raw"], "Zmlyc3QgdGV4dA==");
  const json dotted = row("data.body.raw");
  EXPECT_EQ(dotted["data.body"]["raw"], "first text");
  EXPECT_EQ(dotted["data"]["body"]["raw"], "Zmlyc3QgdGV4dA==");
  for (const char* none : {"data", "data.", ".", "", "data.body", "list.element", "data.body.raw.x", "text"})
    EXPECT_EQ(row(none), plain) << none;
}

TEST(Parquet, WhatIsNotFiniteIsNamed) {
  const Read result = read({golden("nested.parquet")});
  ASSERT_THAT(result.lines, SizeIs(3));
  EXPECT_THAT(result.lines[0], HasSubstr(R"("score":NaN,"list":[NaN,1.0],"only":NaN})"));
  EXPECT_THAT(result.lines[1], HasSubstr(R"("x":NaN})"));
  EXPECT_THAT(result.lines[2], HasSubstr(R"("score":-Infinity,"list":null,)"));
}

TEST(Parquet, BlocksOfAnySizeOnAnyNumberOfThreads) {
  const std::vector<json> expected = golden_records("records.jsonl");
  const std::vector<std::string> files = {golden("records.parquet"), golden("types.parquet"),
                                          golden("records.parquet")};
  const Read whole = read(files);
  ASSERT_THAT(whole.lines, SizeIs(2 * expected.size() + 4));
  EXPECT_EQ(whole.blocks, 18u);  // a row group each
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(json::parse(whole.lines[i]), expected[i]);
  for (std::size_t bytes : {1, 1000, 3000}) {
    for (int threads : {1, 2, 8}) {
      Read pieces = read_lazily(files, small_blocks(bytes), threads);
      EXPECT_EQ(pieces.lines, whole.lines);
      EXPECT_GT(pieces.blocks, 40u);
      EXPECT_THAT(pieces.bad, IsEmpty());
      for (std::size_t i = 0; i < pieces.places.size(); ++i) EXPECT_EQ(pieces.places[i].line, whole.places[i].line);
    }
  }
}

TEST(Parquet, LimitAndLongRows) {
  RecordOptions options = small_blocks(1000);
  options.limit = 77;
  options.lazy = true;
  EXPECT_THAT(read({golden("records.parquet")}, options).lines, SizeIs(77));
  options = {};
  options.max_record_bytes = 200;
  Read result = read({golden("records.parquet")}, options);
  EXPECT_EQ(result.lines.size() + result.bad.size(), 400u);
  EXPECT_GT(result.lines.size(), 50u);
  ASSERT_GT(result.bad.size(), 50u);
  for (const std::string& line : result.lines) EXPECT_LE(line.size(), 200u);
  for (const BadBytes& bad : result.bad) {
    EXPECT_GT(bad.size, 200u);
    EXPECT_FALSE(bad.lost);
    EXPECT_THAT(bad.bytes, StartsWith("{\"id\":\"r"));
    EXPECT_THAT(bad.error, HasSubstr("longer than the limit of 200 bytes"));
  }
}

TEST(Parquet, WhatIsNoParquetFileIsBad) {
  TemporaryFolder folder;
  const std::string good = base::read_file(golden("records.parquet"));
  std::string footer = good;
  footer.replace(footer.size() - 100, 50, 50, '\xFF');
  std::string length = good;
  length.replace(length.size() - 8, 4, "\xFF\xFF\xFF\x7F");
  const std::vector<std::string> files = {
      folder.write("empty.parquet", ""),
      folder.write("text.parquet", "PAR1{\"text\":\"no Parquet\"}\n"),
      folder.write("cut.parquet", std::string_view(good).substr(0, good.size() - 1)),
      folder.write("footer.parquet", footer),
      folder.write("length.parquet", length),
      golden("twice.parquet"),
      golden("records.parquet"),
  };
  Read result = read_lazily(files, {}, 2);
  EXPECT_THAT(result.lines, SizeIs(400));  // the run goes on
  ASSERT_THAT(result.bad, SizeIs(6));
  for (std::size_t i = 0; i < 6; ++i) {
    const BadBytes& bad = result.bad[i];
    EXPECT_EQ(bad.place.file, i);
    EXPECT_EQ(bad.size, std::filesystem::file_size(files[i]));
    EXPECT_TRUE(bad.lost);
    EXPECT_THAT(bad.error, HasSubstr(i < 5 ? "broken Parquet footer: \"" : "two columns are named \"same\""));
  }
}

TEST(Parquet, ABrokenPageCostsTheRestOfItsRowGroup) {
  TemporaryFolder folder;
  std::string bytes = base::read_file(golden("records.parquet"));
  const std::vector<json> expected = golden_records("records.jsonl");
  // A record id in row group 3, stored as it is.
  const std::size_t at = bytes.find("r170");
  ASSERT_NE(at, bytes.npos);
  bytes[at + 1] ^= 1;
  const std::string file = folder.write("page.parquet", bytes);
  for (int threads : {1, 3}) {
    Read result = read_lazily({file}, small_blocks(2000), threads);
    ASSERT_THAT(result.bad, SizeIs(1));
    EXPECT_THAT(result.bad[0].error, HasSubstr("CRC checksum verification failed"));
    EXPECT_THAT(result.bad[0].error, HasSubstr("to 200 of the file are lost"));
    EXPECT_TRUE(result.bad[0].lost);
    const std::uint64_t first = result.bad[0].place.line;
    EXPECT_GT(first, 150u);
    EXPECT_LT(first, 200u);
    ASSERT_THAT(result.lines, SizeIs(400 - (200 - first + 1)));
    for (std::size_t i = 0; i < result.lines.size(); ++i)
      EXPECT_EQ(json::parse(result.lines[i]), expected[result.places[i].line - 1]);
  }
}

// Whatever the bytes: no crash, and either every record or something bad. Pages have checksums, so what a flip changes
// unseen lies in the footer.
TEST(Parquet, DamageIsFoundOrHarmless) {
  TemporaryFolder folder;
  base::Random random(3);
  int bad_files = 0, whole_files = 0;
  for (const char* name : {"records.parquet", "types.parquet"}) {
    const std::string good = base::read_file(golden(name));
    const std::size_t rows = read({golden(name)}).lines.size();
    for (int round = 0; round < 400; ++round) {
      std::string bytes = good;
      // Half of the damage in the footer, which is the smaller part of the file.
      const std::size_t from = round % 2 ? 0 : good.size() * 3 / 4;
      switch (random.below(4)) {
        case 0:
          bytes.resize(random.below(bytes.size()));
          break;
        case 1:
          bytes.erase(from + random.below(bytes.size() - from), 1 + random.below(100));
          break;
        default:
          for (std::uint64_t flips = 1 + random.below(8); flips > 0; --flips)
            bytes[from + random.below(bytes.size() - from)] ^= static_cast<char>(1 << random.below(8));
      }
      Read result = read_lazily({folder.write("damaged.parquet", bytes)}, small_blocks(4000), 1 + round % 2);
      if (result.bad.empty()) {
        EXPECT_GE(result.lines.size(), rows / 2) << name << " round " << round;
        ++whole_files;
      } else {
        ++bad_files;
      }
      for (const BadBytes& bad : result.bad) {
        EXPECT_FALSE(bad.error.empty());
        EXPECT_LE(bad.bytes.size(), 4096u);
      }
    }
  }
  EXPECT_GT(bad_files, 300);
  EXPECT_GT(whole_files, 10);
}

base::ColumnType type_of(const std::vector<std::string>& lines) {
  base::RecordShape shape;
  for (const std::string& line : lines) shape.add(line);
  return shape.type();
}

// Writes lines in row groups of `rows`; the columns that do not fit.
std::vector<std::string> write(const std::string& path, const std::vector<std::string>& lines, std::size_t rows,
                               const base::ParquetTypes& like) {
  const base::ColumnType type = type_of(lines);
  auto writer = base::open_parquet_writer(path, type, like, 3);
  base::RecordSplitter splitter(type);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    splitter.append(lines[i], writer->row());
    if ((i + 1) % rows != 0 && i + 1 < lines.size()) continue;
    if (auto unfit = writer->end_row_group(); !unfit.empty()) return unfit;
  }
  writer->commit();
  return {};
}

TEST(Parquet, WhatIsWrittenIsReadAgain) {
  TemporaryFolder folder;
  for (const char* name : {"types.parquet", "records.parquet", "nested.parquet"}) {
    const std::vector<std::string> lines = read({golden(name)}).lines;
    for (bool typed : {false, true}) {
      auto like =
          base::parquet_types(typed ? std::vector<std::string>{golden(name)} : std::vector<std::string>(), "text");
      ASSERT_THAT(write(folder / "a.parquet", lines, 3, *like), IsEmpty());
      ASSERT_THAT(write(folder / "b.parquet", lines, 3, *like), IsEmpty());
      EXPECT_EQ(base::read_file(folder / "a.parquet"), base::read_file(folder / "b.parquet"));
      EXPECT_FALSE(std::filesystem::exists(folder / "a.parquet.part"));
      Read again = read({folder / "a.parquet"});
      EXPECT_EQ(again.lines, lines);
      EXPECT_THAT(again.bad, IsEmpty());
      EXPECT_EQ(again.blocks, (lines.size() + 2) / 3);
    }
  }
}

TEST(Parquet, AValueThatDoesNotFitItsTypeIsSaid) {
  TemporaryFolder folder;
  auto like = base::parquet_types({golden("types.parquet"), folder / "none.parquet"}, "text");
  const std::vector<std::string> lines = {
      R"({"text":"a","day":"2024-01-01","int8":127,"time_us":"01:02:03.000004","binary":"AP8=","fixed":"YWJj"})",
      R"({"text":"b","day":"tomorrow","int8":128,"time_us":"late","binary":"not base64!","fixed":null})"};
  EXPECT_THAT(write(folder / "a.parquet", lines, 2, *like), testing::ElementsAre("day", "int8", "time_us", "binary"));
  EXPECT_FALSE(std::filesystem::exists(folder / "a.parquet"));
  for (const char* column : {"day", "int8", "time_us", "binary"}) like->forget(column);
  EXPECT_THAT(write(folder / "a.parquet", lines, 2, *like), IsEmpty());
  EXPECT_EQ(read({folder / "a.parquet"}).lines, lines);
}

TEST(Parquet, AFullDiskIsAnError) {
  auto like = base::parquet_types({}, "text");
  EXPECT_THAT(error_of([&] { write("/dev/full", {R"({"text":"a"})"}, 1, *like); }), HasSubstr("No space left"));
}

}  // namespace
