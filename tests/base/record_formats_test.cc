// Files that are not what their names say, or say it in another way: the same records as of the plain file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unicode/ucnv.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/delimiter.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/file.h"
#include "base/program.h"
#include "base/random.h"
#include "base/records.h"
#include "base/stream.h"
#include "tests/temporary_folder.h"

namespace {

using base::BadBytes;
using base::RecordOptions;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::string_literals;

struct Read {
  std::vector<std::string> lines;
  std::vector<BadBytes> bad;
};

// `text` (UTF-8) in another encoding.
std::string in_encoding(const std::string& text, const char* encoding) {
  std::string bytes(4 * text.size() + 16, '\0');
  UErrorCode error = U_ZERO_ERROR;
  const std::int32_t size = ucnv_convert(encoding, "utf-8", bytes.data(), static_cast<std::int32_t>(bytes.size()),
                                         text.data(), static_cast<std::int32_t>(text.size()), &error);
  EXPECT_TRUE(U_SUCCESS(error)) << encoding;
  bytes.resize(static_cast<std::size_t>(size));
  return bytes;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

class RecordFormats : public testing::Test {
 protected:
  Read read(const std::string& name, const std::string& bytes, const RecordOptions& options = {}) {
    Read result;
    std::filesystem::remove(folder_ / name);  // many files of one name, one after another
    base::BlockReader reader({folder_.write(name, bytes)}, options);
    while (auto block = reader.next(result.bad))
      base::for_each_line(*block, [&](std::string_view line, const base::Place&) { result.lines.emplace_back(line); });
    return result;
  }
  // The records as values: members in order, however they are spaced.
  std::vector<nlohmann::ordered_json> values(const std::string& name, const std::string& bytes,
                                             const RecordOptions& options = {}) {
    const Read result = read(name, bytes, options);
    EXPECT_THAT(result.bad, IsEmpty()) << name << " " << (result.bad.empty() ? "" : result.bad[0].error);
    std::vector<nlohmann::ordered_json> all;
    for (const std::string& line : result.lines) all.push_back(nlohmann::ordered_json::parse(line, nullptr, false));
    return all;
  }
  std::string refusal(const std::string& name, const std::string& bytes, const RecordOptions& options = {}) {
    try {
      base::BlockReader reader({folder_.write(name, bytes)}, options);
    } catch (const base::UsageError& error) {
      return error.what();
    }
    return "";
  }
  TemporaryFolder folder_;
};

const std::string kLines =
    "{\"id\":1,\"text\":\"Grüße, «Привет» 你好 😀\"}\n"
    "{\"id\":2,\"text\":\"plain; with | all\\t, of them\"}\n"
    "{\"id\":3,\"text\":\"a \\\"quote\\\" and {braces} [in] it\"}\n";
const std::string kTable =
    "id,text\n"
    "1,\"Grüße, «Привет» 你好 😀\"\n"
    "2,\"two\nlines; and | \"\"quotes\"\"\"\n"
    "3,last\n";

std::string packed(const std::string& suffix, const std::string& bytes) {
  TemporaryFolder folder;
  auto writer = base::open_writer(folder / ("x" + suffix));
  writer->write(bytes);
  writer->commit();
  return base::read_file(folder / ("x" + suffix));
}

TEST_F(RecordFormats, CompressionIsToldByContent) {
  const auto expected = values("plain.jsonl", kLines);
  ASSERT_THAT(expected, SizeIs(3));
  const std::string gzip = packed(".gz", kLines), zstd = packed(".zst", kLines);
  const std::string skippable("\x5A\x2A\x4D\x18\x04\0\0\0skip", 12);
  EXPECT_EQ(values("a.jsonl", gzip), expected);
  EXPECT_EQ(values("a.jsonl", zstd), expected);
  EXPECT_EQ(values("a.jsonl.gz", zstd), expected);
  EXPECT_EQ(values("a.jsonl.zst", gzip), expected);
  EXPECT_EQ(values("a.jsonl.zst", skippable + zstd), expected);
  EXPECT_EQ(values("a.jsonl", skippable + zstd), expected);
  EXPECT_EQ(values("a.jsonl.gz", kLines), expected);
  EXPECT_EQ(values("a.jsonl.zst", kLines), expected);
  EXPECT_EQ(values("A.JSONL.GZ", gzip), expected);
  EXPECT_EQ(values("a.csv", packed(".gz", kTable)), values("plain.csv", kTable));
  // Bytes that are neither are a damaged file of the kind that the name says.
  Read damaged = read("a.jsonl.gz", "\x1E\x8B" + gzip.substr(2));
  EXPECT_THAT(damaged.lines, IsEmpty());
  ASSERT_THAT(damaged.bad, SizeIs(1));
  EXPECT_THAT(damaged.bad[0].error, HasSubstr("gzip file is corrupt"));
  EXPECT_TRUE(damaged.bad[0].lost);
}

TEST_F(RecordFormats, OtherFormatsAreRefusedByNameBeforeAnythingIsRead) {
  const std::string zeros(600, '\0');
  struct Case {
    std::string bytes, what, advice;
  };
  const Case cases[] = {
      {"BZh91AY&SY" + zeros, "a bzip2 file", "bzip2 -d"},
      {"\xFD"s + "7zXZ\0"s + zeros, "an xz file", "xz -d"},
      {"PK\x03\x04\x14" + zeros, "a zip archive", "unpack"},
      {"PK\x03\x04\x14" + zeros.substr(0, 20) + "[Content_Types].xml" + zeros, "an Office document (.xlsx", "CSV"},
      {"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1" + zeros, "an Office document (.xls", "CSV"},
      {"PAR1\x15" + zeros, "a Parquet file", "rename it to .parquet"},
      {"ARROW1\0\0"s + zeros, "an Arrow file", "Parquet"},
      {"ORC\x01" + zeros, "an ORC file", "Parquet"},
      {"Obj\x01\x04" + zeros, "an Avro file", "Parquet"},
      {"\x04\x22\x4D\x18" + zeros, "an lz4 file", "lz4 -d"},
      {std::string(257, 'x') + "ustar\00000" + zeros, "a tar archive", "unpack"},
      {packed(".gz", packed(".gz", kLines)), "a gzip file", "compressed twice"},
      {packed(".zst", packed(".gz", kLines)), "a gzip file", "compressed twice"},
      {packed(".gz", "data.jsonl" + zeros.substr(0, 247) + "ustar\00000" + zeros), "a tar archive", "unpack"},
  };
  for (const Case& c : cases) {
    for (const char* name : {"x.jsonl", "x.csv", "x.txt", "x.json.gz", "x.tsv.zst", "x.jsonl.xz", "x.xlsx"}) {
      const std::string message = refusal(name, c.bytes);
      EXPECT_THAT(message, HasSubstr("the file is " + c.what)) << name;
      EXPECT_THAT(message, HasSubstr(c.advice)) << name;
      EXPECT_THAT(message, HasSubstr(folder_ / name));
    }
  }
  EXPECT_THAT(refusal("x.parquet", kLines), HasSubstr("no Parquet file"));
  EXPECT_THAT(refusal("x.parquet", packed(".gz", kLines)), HasSubstr("no Parquet file"));
  // Texts that begin so are texts.
  for (const char* text :
       {"ORCHIDS grow slowly.\n", "PAR1 and others\n", "BZh9 is no word\n", "GGUF, a format\n", "%PDF-like\n"})
    EXPECT_THAT(read("x.txt", text).lines, SizeIs(1)) << text;
}

TEST_F(RecordFormats, Utf16AndUtf32WithAndWithoutAMark) {
  const auto lines = values("plain.jsonl", kLines), rows = values("plain.csv", kTable);
  const std::string ascii = "{\"id\":1,\"text\":\"plain\"}\n{\"id\":2}\n";
  const auto plain = values("ascii.jsonl", ascii);
  const std::string russian = "{\"текст\":\"Это предложение написано по-русски, целиком\"}\n";
  const std::string chinese =
      "{\"id\":\"一二三\",\"text\":\"一二三四五六七八九十百千万亿你好世界一二三四五六七八九十\"}\n";
  for (const char* encoding : {"utf-16le", "utf-16be", "utf-32le", "utf-32be"}) {
    const std::string mark = in_encoding("\xEF\xBB\xBF", encoding);
    for (std::size_t block_bytes : {1, 7, 1 << 20}) {
      RecordOptions options;
      options.block_bytes = block_bytes;
      EXPECT_EQ(values("x.jsonl", mark + in_encoding(kLines, encoding), options), lines) << encoding;
      EXPECT_EQ(values("x.jsonl", in_encoding(kLines, encoding), options), lines) << encoding;
      EXPECT_EQ(values("x.csv", mark + in_encoding(kTable, encoding), options), rows) << encoding;
      EXPECT_EQ(values("x.csv", in_encoding(kTable, encoding), options), rows) << encoding;
    }
    EXPECT_EQ(values("x.jsonl", in_encoding(ascii, encoding)), plain) << encoding;
    EXPECT_EQ(values("x.jsonl", in_encoding("{}\n", encoding)), values("y.jsonl", "{}\n")) << encoding;
    EXPECT_EQ(values("x.jsonl", in_encoding(russian, encoding)), values("y.jsonl", russian)) << encoding;
    EXPECT_EQ(values("x.jsonl", in_encoding(chinese, encoding)), values("y.jsonl", chinese)) << encoding;
    EXPECT_EQ(values("x.jsonl.gz", packed(".gz", mark + in_encoding(kLines, encoding))), lines) << encoding;
    RecordOptions options;
    options.text.encoding = "utf-8";  // a mark knows better
    EXPECT_EQ(values("x.jsonl", mark + in_encoding(kLines, encoding), options), lines) << encoding;
    options.text.encoding = std::string(encoding).substr(0, 6);  // of either order
    EXPECT_EQ(values("x.jsonl", in_encoding(kLines, encoding), options), lines) << encoding;
  }
  // A zero byte here and there makes no other encoding.
  const std::string zeros = "{\"a\":\"\0\"}\n{\"b\":1}\n"s;
  EXPECT_THAT(read("x.jsonl", zeros).lines, ElementsAre("{\"a\":\"\0\"}"s, "{\"b\":1}"));
  EXPECT_THAT(read("x.jsonl", "{}\n\0"s).lines, ElementsAre("{}", "\0"s));
  // Nor does one beside bytes that are no UTF-8, wherever they stand.
  const std::string more = "Une autre ligne sans rien de particulier, et encore une.\n";
  for (const std::string& bytes :
       {"Le caf\xE9 est ferm\xE9.\n\0\n"s, "\0Le caf\xE9 est ferm\xE9.\n"s, "caf\xE9\n \0\n"s,
        "\xCF\xF0\xE8\xE2\xE5\xF2, \xEC\xE8\xF0, \xE4\xEE\xF0\xEE\xE3\xEE\xE9\n\0\n"s})
    for (int lines : {0, 1, 20, 60}) {
      std::string text = bytes;
      for (int i = 0; i < lines; ++i) text += bytes[0] == '\xCF' ? replaced(bytes, "\0"s, "") : more;
      RecordOptions options;
      options.split_text = "line";
      EXPECT_EQ(read("x.jsonl", text).lines.front(), text.substr(0, text.find('\n'))) << lines;
    }
}

TEST_F(RecordFormats, NamedEncodings) {
  RecordOptions options;
  const std::string german = "{\"text\":\"Grüße für 5 €\"}\n", japanese = "text,id\n\"日本語、テスト\",1\n";
  options.text.encoding = "windows-1252";
  EXPECT_EQ(values("x.jsonl", in_encoding(german, "windows-1252"), options), values("y.jsonl", german));
  EXPECT_EQ(values("x.jsonl", in_encoding("\xEF\xBB\xBF" + german, "utf-8"), options), values("y.jsonl", german));
  options.text.encoding = "Shift_JIS";
  EXPECT_EQ(values("x.csv", in_encoding(japanese, "shift_jis"), options), values("y.csv", japanese));
  options.text.encoding = "gb18030";
  EXPECT_EQ(values("x.csv", in_encoding(japanese, "gb18030"), options), values("y.csv", japanese));
  options.text.encoding = "latin1";
  EXPECT_EQ(values("x.txt", "Gr\xFC\xDF\x65", options)[0]["text"], "Grüße");
  options.text.encoding = "windows-1251x";
  EXPECT_THAT(refusal("x.jsonl", german, options), HasSubstr("windows-1251"));
  options.text.encoding = "latin_one";
  EXPECT_THAT(refusal("x.jsonl", german, options), HasSubstr("not an encoding"));
  options.text.encoding = "";
  EXPECT_THAT(refusal("x.jsonl", german, options), HasSubstr("not an encoding"));
}

TEST_F(RecordFormats, WhatIsNoCharacterCostsItsRecord) {
  std::string bytes = in_encoding("{\"a\":1}\n{\"b\":\"X\"}\n{\"c\":3}\n", "utf-16le");
  bytes.replace(bytes.find('X'), 2, "\x00\xDC"s);  // half a pair
  EXPECT_THAT(read("x.jsonl", bytes).lines, ElementsAre("{\"a\":1}", "{\"b\":\"\xFF\"}", "{\"c\":3}"));
  Read cut = read("x.jsonl", bytes + "{");
  EXPECT_THAT(cut.lines, SizeIs(3));
  ASSERT_THAT(cut.bad, SizeIs(1));
  EXPECT_THAT(cut.bad[0].error, HasSubstr("ends inside a character (utf-16le, assumed"));
  EXPECT_TRUE(cut.bad[0].lost);
  RecordOptions options;
  options.text.encoding = "shift_jis";
  EXPECT_THAT(read("x.jsonl", "{\"a\":\"\x81\xFF\"}\n{\"b\":1}\n", options).lines,
              ElementsAre(HasSubstr("\xFF"), "{\"b\":1}"));
  cut = read("x.csv", "a\n1\n2\x81", options);
  EXPECT_THAT(cut.lines, SizeIs(1));
  ASSERT_THAT(cut.bad, SizeIs(1));
  EXPECT_TRUE(cut.bad[0].lost);
}

TEST_F(RecordFormats, CarriageReturnsAsLineEnds) {
  const auto lines = values("plain.jsonl", kLines);
  EXPECT_EQ(values("x.jsonl", replaced(kLines, "\n", "\r")), lines);
  EXPECT_EQ(values("x.json", replaced(kLines, "\n", "\r")), lines);
  EXPECT_EQ(values("x.csv", replaced(kTable, "\n", "\r")), values("plain.csv", kTable));
  EXPECT_EQ(values("x.csv", in_encoding("\xEF\xBB\xBF" + replaced(kTable, "\n", "\r"), "utf-16le")),
            values("plain.csv", kTable));
  std::string returns = replaced(kTable, "\n", "\r");
  returns.replace(returns.find("two\r") + 3, 1, "\n");  // in quotes
  EXPECT_EQ(values("x.csv", returns), values("plain.csv", kTable));
  EXPECT_THAT(read("x.csv", "a,b\r\r\n1,\"2\r3\"\n").lines, ElementsAre(HasSubstr("\"2\\r3\"")));
  RecordOptions options;
  options.split_text = "line";
  EXPECT_THAT(read("x.txt", "one\rtwo\r", options).lines, SizeIs(2));
  EXPECT_THAT(read("x.txt", "one\rtwo\r\n", options).lines, ElementsAre(HasSubstr("one\\rtwo")));
  for (std::size_t block_bytes : {1, 100, 1 << 22}) {
    options.block_bytes = block_bytes;
    std::string many;
    for (int i = 0; i < 60'000; ++i) many += "{\"id\":" + std::to_string(i) + "}\r";
    EXPECT_THAT(read("x.jsonl", many, options).lines, SizeIs(60'000));
  }
}

// An array in one line: its records have places of their own.
TEST_F(RecordFormats, RecordsOfOneLineHavePlaces) {
  const auto places = [&](const char* name, const std::string& bytes) {
    std::vector<std::string> all;
    RecordOptions options;
    options.block_bytes = 9;
    std::vector<BadBytes> bad;
    base::BlockReader reader({folder_.write(name, bytes)}, options);
    while (auto block = reader.next(bad))
      base::for_each_line(*block,
                          [&](std::string_view, const base::Place& place) { all.push_back(base::line_text(place)); });
    for (const BadBytes& piece : bad) all.push_back("bad " + base::line_text(piece.place));
    return all;
  };
  EXPECT_THAT(places("a.json", R"([{"a":1},{"a":2}, {"a":3}])"), ElementsAre("1", "1#2", "1#3"));
  EXPECT_THAT(places("b.json", "[{\"a\":1},{\n\"a\":2},{\"a\":3},\n{\"a\":4}]"), ElementsAre("1", "1#2", "2", "3"));
  EXPECT_THAT(places("c.jsonl", R"({"a":1}{"a":2})"), ElementsAre("1", "1#2"));
  EXPECT_THAT(places("d.json", R"([{"a":1},{"a":2},{"a")"), ElementsAre("1", "1#2", "bad 1#3"));
  EXPECT_THAT(places("e.jsonl", "{}\n{}\n"), ElementsAre("1", "2"));
}

TEST_F(RecordFormats, AJsonLinesFileMayHoldArraysOrPrintedObjects) {
  const auto expected = values("plain.jsonl", kLines);
  const nlohmann::ordered_json array = expected;
  std::string printed, concatenated, separated, separated_lines;
  for (const auto& value : expected) {
    printed += value.dump(2) + "\n";
    concatenated += value.dump();
    separated += "\x1E" + value.dump(1, '\t') + "\n";
    separated_lines += "\x1E" + value.dump() + "\n";
  }
  for (const char* name : {"x.jsonl", "x.ndjson", "x.json"}) {
    for (std::size_t block_bytes : {1, 9, 1 << 20}) {
      RecordOptions options;
      options.block_bytes = block_bytes;
      EXPECT_EQ(values(name, array.dump(), options), expected);
      EXPECT_EQ(values(name, "\xEF\xBB\xBF \n" + array.dump(4) + "\n", options), expected);
      EXPECT_EQ(values(name, "[\n" + replaced(kLines.substr(0, kLines.size() - 1), "}\n", "},\n") + "\n]", options),
                expected);
      EXPECT_EQ(values(name, printed, options), expected);
      EXPECT_EQ(values(name, replaced(printed, "\n", "\r\n"), options), expected);
      EXPECT_EQ(values(name, concatenated, options), expected);
      EXPECT_EQ(values(name, separated, options), expected);
      EXPECT_EQ(values(name, separated_lines, options), expected);
    }
    EXPECT_THAT(values(name, array.dump() + "\n" + array.dump(2) + array.dump()), SizeIs(9));
    EXPECT_THAT(values(name, array.dump() + "\n" + kLines), SizeIs(6));
    EXPECT_THAT(values(name, "[]"), IsEmpty());
    EXPECT_THAT(values(name, "{\n}"), SizeIs(1));
  }
}

TEST_F(RecordFormats, ABrokenLineCostsOne) {
  for (const char* broken : {"{\"a\":", "{\"a\":[1,", "[oops", "[{\"a\":1", "[{\"a\":1}", "{\"a\":\"x", "nonsense", "}",
                             "{", "{\"a\":1} x", "[1,2]", "{\"a\":1},", "{\"a\":{\"b\":1}"}) {
    const Read result = read("x.jsonl", broken + "\n{\"b\":2}\n{\"c\":3}\n"s);
    EXPECT_THAT(result.lines, ElementsAre(broken, "{\"b\":2}", "{\"c\":3}")) << broken;
    EXPECT_THAT(result.bad, IsEmpty());
  }
  EXPECT_THAT(read("x.jsonl", "{\"a\": [\n{\"b\": 2}\n]}\n{\"c\": 3}\n").lines, SizeIs(2));  // not broken
  // Objects over several lines begin again with the next brace that begins a line.
  Read result = read("x.jsonl", "{\n \"a\": 1\n}\n{\n \"b\": {\"x\": \n}\n{\n \"c\": \"open\n}\n}\n{\n \"d\": 4\n}\n");
  EXPECT_THAT(result.lines, ElementsAre("{  \"a\": 1 }", "{  \"d\": 4 }"));
  ASSERT_THAT(result.bad, SizeIs(2));
  EXPECT_THAT(result.bad[0].error, HasSubstr("object is cut off"));
  EXPECT_FALSE(result.bad[0].lost);
  result = read("x.jsonl", "{\n \"a\": 1\n}\n junk\n]\n{\n \"b\": 2\n}\n{\n \"c\"");
  EXPECT_THAT(result.lines, ElementsAre("{  \"a\": 1 }", "{  \"b\": 2 }"));
  ASSERT_THAT(result.bad, SizeIs(3));
  EXPECT_EQ(result.bad[0].bytes, "junk");
  EXPECT_TRUE(result.bad[2].lost);
}

TEST_F(RecordFormats, DelimitersAreFound) {
  const auto expected = values("plain.csv", "id,text,label\n1,\"a, b\",x\n2,\"c; d\",y\n3,\"e | f\tg\",z\n");
  const std::string rows = "id@text@label\n1@a, b@x\n2@\"c; d\"@y\n3@\"e | f\tg\"@z\n";
  for (const char* delimiter : {";", "\t", "|"}) {
    for (const char* name : {"x.csv", "x.tsv", "x.csv.gz"}) {
      EXPECT_EQ(values(name, replaced(rows, "@", delimiter)), expected) << delimiter;
      RecordOptions options;
      options.block_bytes = 1;
      EXPECT_EQ(values(name, replaced(replaced(rows, "@", delimiter), "\n", "\r\n"), options), expected) << delimiter;
      options.text.delimiter = delimiter;
      EXPECT_EQ(values(name, replaced(rows, "@", delimiter), options), expected) << delimiter;
    }
  }
  RecordOptions options;
  options.text.delimiter = ":";
  EXPECT_EQ(values("x.csv", replaced(rows, "@", ":"), options), expected);
  for (const char* tab : {"tab", "\\t", "\t"}) {
    options.text.delimiter = tab;
    EXPECT_EQ(values("x.csv", replaced(rows, "@", "\t"), options), expected);
  }
  for (const char* none : {"", "\"", "\n", "comma", "::", "é"}) {
    options.text.delimiter = none;
    EXPECT_THAT(refusal("x.csv", rows, options), HasSubstr("not a delimiter")) << none;
  }
  EXPECT_EQ(values("x.tab", "a\tb\n1\t2\n"), values("y.csv", "a,b\n1,2\n"));
  EXPECT_EQ(values("x.TSV", "a,b\n1,2\n3,4\n"), values("y.csv", "a,b\n1,2\n3,4\n"));  // a .tsv that is none
}

TEST_F(RecordFormats, ACommaStaysWhereNothingElseFitsBetter) {
  EXPECT_THAT(read("x.csv", "text\na; b\nc; d\n").lines, ElementsAre("{\"text\":\"a; b\"}", "{\"text\":\"c; d\"}"));
  EXPECT_THAT(read("x.csv", "a|b\nc\nd\ne\n").lines, SizeIs(3));
  EXPECT_THAT(read("x.csv", "a|b\nc\nd\ne\n").lines[0], HasSubstr("a|b"));
  EXPECT_THAT(read("x.csv", "a;x,b;y\n1;2,3;4\n").lines, ElementsAre("{\"a;x\":\"1;2\",\"b;y\":\"3;4\"}"));  // a tie
  EXPECT_THAT(read("x.csv", "a,b\n1,2\n1\n1,2,3\n").lines, SizeIs(1));  // ragged, and nothing better
  EXPECT_THAT(read("x.csv", "a,b\n").lines, IsEmpty());
  EXPECT_THAT(read("x.csv", "a;b\n").lines, IsEmpty());
  EXPECT_THAT(read("x.tsv", "text\nno tab, here\n").lines, ElementsAre("{\"text\":\"no tab, here\"}"));
  // Prose with commas in a file of semicolons; decimal commas.
  EXPECT_THAT(read("x.csv", "id;text\n1;Hello, you\n2;Well, well, well\n3;no\n").lines, SizeIs(3));
  EXPECT_THAT(read("x.csv", "id;price\n1;1,5\n2;2,5\n").lines[0], "{\"id\":\"1\",\"price\":\"1,5\"}");
}

TEST_F(RecordFormats, TheSeparatorLineOfSpreadsheets) {
  const auto expected = values("plain.csv", "a,b\n\"1,5\",2\n");
  EXPECT_EQ(values("x.csv", "sep=;\na;b\n1,5;2\n"), expected);
  EXPECT_EQ(values("x.csv", "\xEF\xBB\xBF\"sep=;\"\r\na;b\r\n1,5;2\r\n"), expected);
  EXPECT_EQ(values("x.csv", "sep=:\ra:b\r1,5:2\r"), expected);
  EXPECT_EQ(values("x.csv", in_encoding("sep=\t\r\na\tb\r\n1,5\t2\r\n", "utf-16le")), expected);
  RecordOptions options;
  options.text.delimiter = "|";  // who names one knows better
  EXPECT_EQ(values("x.csv", "sep=;\na|b\n1,5|2\n", options), expected);
  EXPECT_THAT(read("x.csv", "sep=,x\n1,2\n").lines, SizeIs(1));
}

// Whatever the bytes: no crash, and every byte that is not white space is in a line or in bad bytes.
TEST_F(RecordFormats, RandomBytesAreAccountedFor) {
  base::Random random(7);
  const std::string pieces[] = {
      "{",        "}",    "[",         "]",    "\"",           ",",        ";",    "\t", "|",   "\n",
      "\r",       "\r\n", "{\"a\":1}", "\x1E", "\xEF\xBB\xBF", "\xFF\xFE", "\0"s,  "x",  "a;b", "sep=;\n",
      "\xC3\xA4", "\xFF", "\n{\"b\"",  "\n {", "1,2\n",        " ",        "a,b\n"};
  for (int round = 0; round < 1500; ++round) {
    std::string bytes;
    for (std::uint64_t n = random.below(30); n > 0; --n) {
      bytes += random.below(10) ? pieces[random.below(std::size(pieces))]
                                : std::string(1, static_cast<char>(random.below(256)));
    }
    if (random.below(8) == 0) bytes = in_encoding("{\"a\":1}\n", "utf-16be") + bytes;
    RecordOptions options;
    options.block_bytes = 1 + random.below(60);
    options.max_record_bytes = random.below(3) ? 1 << 20 : 4 + random.below(30);
    if (random.below(4) == 0) options.text.encoding = random.below(2) ? "shift_jis" : "utf-16";
    for (const char* name : {"x.jsonl", "x.json", "x.csv", "x.tsv", "x.txt", "x.jsonl.gz"}) {
      Read result;
      try {
        result = read(name, bytes, options);
      } catch (const base::UsageError&) {
        continue;
      }
      for (const BadBytes& bad : result.bad) {
        ASSERT_FALSE(bad.error.empty());
        ASSERT_LE(bad.bytes.size(), bad.size);
      }
      // Tables lose their delimiters and texts their spaces; JSON is carried byte by byte.
      if (!std::string(name).starts_with("x.json") || options.text.encoding != "auto") continue;
      if (bytes.find('\0') != bytes.npos || bytes.starts_with("\xFF\xFE")) continue;
      if (std::string(name).ends_with(".gz") && !result.bad.empty()) continue;  // perhaps a damaged one
      auto solid = [](std::string_view text) {
        return std::count_if(text.begin(), text.end(),
                             [](char c) { return c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\x1E'; });
      };
      std::string_view content = bytes;
      if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);
      std::ptrdiff_t found = 0;
      for (const std::string& line : result.lines) found += solid(line);
      for (const BadBytes& bad : result.bad) found += solid(bad.bytes);
      const std::ptrdiff_t all = solid(content);
      // Brackets and commas of arrays are no records.
      const std::ptrdiff_t syntax =
          std::count_if(content.begin(), content.end(), [](char c) { return c == '[' || c == ']' || c == ','; });
      ASSERT_LE(found, all) << nlohmann::json(bytes).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
      ASSERT_GE(found + syntax, all) << name
                                     << nlohmann::json(bytes).dump(-1, ' ', true,
                                                                   nlohmann::json::error_handler_t::replace);
    }
  }
}

// A stray quote costs its line, not all lines up to the next quote.
TEST_F(RecordFormats, AStrayQuoteCostsItsLine) {
  std::string csv = "n,text\n";
  for (int i = 0; i < 1000; ++i) csv += std::to_string(i) + (i == 50 || i == 900 ? ",\"5 inch disk\n" : ",words\n");
  const Read got = read("a.csv", csv);
  EXPECT_EQ(got.lines.size(), 998u);
  ASSERT_THAT(got.bad, SizeIs(2));
  EXPECT_EQ(got.bad[0].place.line, 52u);
  EXPECT_EQ(got.bad[0].bytes, "50,\"5 inch disk");
  EXPECT_FALSE(got.bad[0].lost);
  // The same with tabs, where a quote may mean nothing.
  std::string tabs = csv;
  std::replace(tabs.begin(), tabs.end(), ',', '\t');
  EXPECT_THAT(read("a.tsv", tabs).lines, SizeIs(1000));
  const Read said = read("b.tsv", "n\ttext\n1\t\"Wow\" is what she said\n2\t\"two\nlines\"\n");
  EXPECT_THAT(said.bad, IsEmpty());
  ASSERT_THAT(said.lines, SizeIs(2));
  EXPECT_THAT(said.lines[0], HasSubstr(R"(\"Wow\" is what she said)"));
  EXPECT_THAT(said.lines[1], HasSubstr(R"(two\nlines)"));
}

TEST(Delimiters, WithoutATableChangeNothing) {
  const auto said = [](const std::string& name, const std::vector<std::string>& files) {
    std::ostringstream out, err;
    base::tell_unused_delimiter(name, files, base::Context{out, err, false, false, "", "test"});
    return err.str();
  };
  EXPECT_EQ(said("auto", {"a.jsonl"}), "");
  EXPECT_EQ(said(";", {"a.jsonl", "b.CSV.zst"}), "");
  EXPECT_EQ(said("tab", {"b.tab"}), "");
  EXPECT_THAT(said(";", {"a.jsonl", "-", "b.txt"}), HasSubstr("note: --delimiter ; changes nothing"));
}

TEST(ReadText, IsUtf8) {
  TemporaryFolder folder;
  const std::string text = "caf\u00e9, \u6c34 and \U0001F600\n";
  for (const char* encoding : {"UTF-8", "UTF-16LE", "UTF-16BE", "UTF-32LE"}) {
    const std::string marked = folder.write("marked.txt", in_encoding("\uFEFF" + text, encoding));
    EXPECT_EQ(base::read_text(marked, "auto"), text) << encoding;
  }
  EXPECT_EQ(base::read_text(folder.write("a.txt", in_encoding("caf\u00e9", "windows-1252")), "latin1"), "caf\u00e9");
  EXPECT_EQ(base::read_text(folder.write("b.txt", "\xFF\xFFx"), "auto"), "\xFF\xFFx");  // bytes, as they are
  const std::string large = std::string(3'000'000, 'x') + text;
  EXPECT_EQ(base::read_text(folder.write("c.txt", in_encoding(large, "UTF-16LE")), "auto"), large);
  EXPECT_THROW(base::read_text(folder / "c.txt", "klingon"), base::UsageError);
}

}  // namespace
