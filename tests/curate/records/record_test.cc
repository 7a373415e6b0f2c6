#include "curate/records/record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "curate/records/field_reader.h"

namespace curate {
namespace {

const FieldNames kFields = {"text", "id", "source", "date"};

std::string error_of(std::string_view line) {
  RecordParser parser;
  Record record;
  return parser.parse(line, 0, kFields, record);
}

TEST(RecordParser, ReadsFields) {
  RecordParser parser;
  Record record;
  EXPECT_EQ(
      parser.parse(R"({"id": 17, "text": "a\u00e9\ud83d\ude00", "source": "s", "date": null})", 0, kFields, record),
      "");
  EXPECT_EQ(record.text, "aé😀");
  EXPECT_EQ(record.id, "17");
  EXPECT_EQ(record.source, "s");
  EXPECT_EQ(record.date, "");
  for (const char* number :
       {"1.50", "1e5", "-0", "0", "-0.0", "0.12345678901234567", "0.123456789012345671", "12345678901234567.5",
        "12345678901234568.5", "1700000000000000000000001", "18446744073709551615", "-17"}) {
    EXPECT_EQ(
        parser.parse("{\"a\":{\"id\":7},\"id\" : " + std::string(number) + " ,\"text\":\"t\"}", 0, kFields, record),
        "");
    EXPECT_EQ(record.id, number);
  }
  EXPECT_EQ(parser.parse(R"({"text":""})", 0, kFields, record), "");
  EXPECT_EQ(record.text, "");
  EXPECT_EQ(record.id, "");
  std::string nul("{\"text\":\"a\\u0000b\"}");
  EXPECT_EQ(parser.parse(nul, 0, kFields, record), "");
  EXPECT_EQ(record.text, std::string_view("a\0b", 3));
}

TEST(RecordParser, RefusesWhatIsNotARecord) {
  using namespace std::string_literals;
  for (const std::string& bad : {R"({"text":"a"} {"text":"b"})"s,
                                 R"({"text":"a"}x)"s,
                                 R"({"text":"a","x":nan})"s,
                                 R"({"text":"a","x":-NaN})"s,
                                 R"({"text":"a","x":1e400x})"s,
                                 R"({"text":"a",})"s,
                                 R"({"text":"a")"s,
                                 R"({'text':'a'})"s,
                                 "{\"text\":\"a\tb\"}"s,
                                 "{\"text\":\"\xff\"}"s,
                                 "{\"text\":\"\xed\xa0\x80\"}"s,
                                 "{\"text\":\"a\0b\"}"s,
                                 R"({"text":"\ud800"})"s,
                                 R"({"text":"\udc00 x"})"s,
                                 R"({"text":"\ud800\u0041"})"s,
                                 R"([1])"s,
                                 R"("text")"s,
                                 "["s + std::string(100000, '[') + "]",
                                 R"({"text":"a","n":01})"s,
                                 R"({"text":"a","n":1e})"s,
                                 R"(null)"s})
    EXPECT_NE(error_of(bad), "") << bad.substr(0, 60);
  EXPECT_EQ(error_of(R"({"x":1})"), "no field \"text\"");
  EXPECT_EQ(error_of(R"({"text":1})"), "field \"text\" is not a string");
  EXPECT_EQ(error_of(R"({"text":null})"), "field \"text\" is not a string");
  EXPECT_EQ(error_of("  {\"text\": \"a\"}  "), "");
}

std::string written(std::string_view record, const char* text, std::string_view members) {
  std::string out;
  std::string_view view = text ? text : "";
  append_record(out, record, "text", text ? &view : nullptr, members);
  EXPECT_TRUE(nlohmann::json::accept(out)) << out;
  return out;
}

TEST(AppendRecord, TouchesNothingElse) {
  EXPECT_EQ(written(R"({"text": "a", "n": 1.50e+2 })", nullptr, R"("s":1)"),
            "{\"text\": \"a\", \"n\": 1.50e+2 ,\"hornbook\":{\"s\":1}}\n");
  EXPECT_EQ(written(R"({"text": "a"})", nullptr, ""), "{\"text\": \"a\"}\n");
  EXPECT_EQ(written("{}", nullptr, R"("s":1)"), "{\"hornbook\":{\"s\":1}}\n");
  EXPECT_EQ(
      written(R"(  { "a":[{"text":"x}"}], "text" : "q\"\\", "z":"\u00e9"} )", "new \"q\"\n", R"("s":1)"),
      "{ \"a\":[{\"text\":\"x}\"}], \"text\" : \"new \\\"q\\\"\\n\", \"z\":\"\\u00e9\",\"hornbook\":{\"s\":1}}\n");
  EXPECT_EQ(written(R"({"te\u0078t":"old"})", "new", ""), "{\"te\\u0078t\":\"new\"}\n");
}

TEST(AppendRecord, MergesAnEarlierHornbookKey) {
  EXPECT_EQ(written(R"({"hornbook":{"a":1,"b":[2,{"c":"}"}]},"text":"t"})", nullptr, R"("a":9)"),
            "{\"text\":\"t\",\"hornbook\":{\"b\":[2,{\"c\":\"}\"}],\"a\":9}}\n");
  EXPECT_EQ(written(R"({"text":"t", "hornbook": {"a":1} , "z":1})", "u", R"("s":1)"),
            "{\"text\":\"u\", \"z\":1,\"hornbook\":{\"a\":1,\"s\":1}}\n");
  EXPECT_EQ(written(R"({"text":"t","hornbook":{"a":1}})", nullptr, ""), "{\"text\":\"t\",\"hornbook\":{\"a\":1}}\n");
  EXPECT_EQ(written(R"({"hornbook":{}})", nullptr, R"("s":1)"), "{\"hornbook\":{\"s\":1}}\n");
  EXPECT_EQ(written(R"({"hornbook":7,"text":"hornbook"})", nullptr, R"("s":1)"),
            "{\"text\":\"hornbook\",\"hornbook\":{\"s\":1}}\n");
}

TEST(AppendRecord, WritesANestedTextInPlace) {
  const auto nested = [](std::string_view record, std::string_view field) {
    std::string out;
    const std::string_view text = "new";
    append_record(out, record, field, &text, R"("s":1)");
    return out;
  };
  EXPECT_EQ(nested(R"({"text":"x","data":{"n":1,"body":{"text": "old" }},"z":2})", "data.body.text"),
            R"({"text":"x","data":{"n":1,"body":{"text": "new" }},"z":2,"hornbook":{"s":1}})"
            "\n");
  EXPECT_EQ(nested(R"({"a":{"b":"x"},"a.b":"old"})", "a.b"), R"({"a":{"b":"x"},"a.b":"new","hornbook":{"s":1}})"
                                                             "\n");
  EXPECT_EQ(nested(R"({"hornbook":{"text":"old"},"z":2})", "hornbook.text"),
            R"({"z":2,"hornbook":{"text":"new","s":1}})"
            "\n");
}

// What a record is parsed to, and what is delivered of it.
struct Delivered {
  std::string error, text, id, line;
  bool repeated_keys, non_finite;
};
Delivered delivered(std::string_view line, const FieldNames& fields = kFields, bool nan_is_null = false) {
  RecordParser parser(nan_is_null);
  Record record;
  std::string error = parser.parse(line, 0, fields, record);
  return {std::move(error),         std::string(record.text), std::string(record.id),
          std::string(record.line), record.repeated_keys,     record.non_finite};
}

TEST(RecordParser, AsManyLevelsAsTheDocumentsSay) {
  for (const auto& [open, close] : {std::pair("[", "]"), std::pair("{\"a\":", "}")}) {
    const auto nested = [&](int levels) {  // the record is one of them
      std::string line = "{\"text\":\"t\",\"deep\":";
      for (int i = 1; i < levels; ++i) line += open;
      line += "1";
      for (int i = 1; i < levels; ++i) line += close;
      return delivered(line + "}").error;
    };
    EXPECT_EQ(nested(1023), "");
    EXPECT_EQ(nested(1024), "");
    EXPECT_NE(nested(1025), "");
  }
}

// What stands under the key that results go to would be lost.
TEST(RecordParser, HornbookIsAnObject) {
  for (const char* value : {"{}", "{\"a\":1}", "null"})
    EXPECT_EQ(delivered("{\"text\":\"t\",\"hornbook\":" + std::string(value) + "}").error, "") << value;
  for (const char* key : {"hornbook", "horn\\u0062ook"})
    for (const char* value : {"\"a string\"", "5", "true", "[{}]", "NaN"})
      EXPECT_EQ(delivered("{\"text\":\"t\",\"" + std::string(key) + "\":" + value + "}").error,
                "field \"hornbook\" is not an object, as curate writes there: rename it")
          << value;
}

// Python's readers take the last of repeated keys: that one is judged and the only one delivered.
TEST(RecordParser, TheLastOfRepeatedKeysIsTheOnlyOne) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"text":"first","text":"last"})", R"({"text":"last"})"},
      {R"({"text":"first", "n":1, "te\u0078t":"last"})", R"({"n":1, "te\u0078t":"last"})"},
      {R"({"n":1,"text":"last","n":{"a":2}})", R"({"text":"last","n":{"a":2}})"},
      {R"({"text":"last","m":{"a":1,"a":2,"b":[{"c":1,"d":0,"c":[]}]}})",
       R"({"text":"last","m":{"a":2,"b":[{"d":0,"c":[]}]}})"},
      {R"({"m":{"a":1,"a":2},"text":"last","m":{"a":3,"a":4}})", R"({"text":"last","m":{"a":4}})"},
      {R"({"a":1 , "a":2 , "a":"a,\"a\":{" , "text":"last"})", R"({"a":"a,\"a\":{" , "text":"last"})"},
      {R"({"text":"x","hornbook":1,"horn\u0062ook":{"a":2},"text":"last"})",
       R"({"horn\u0062ook":{"a":2},"text":"last"})"},
  };
  for (const auto& [line, rest] : cases) {
    const Delivered is = delivered(line);
    EXPECT_EQ(is.error, "") << line;
    EXPECT_EQ(is.line, rest);
    EXPECT_EQ(is.text, "last") << line;
    EXPECT_TRUE(is.repeated_keys) << line;
    EXPECT_EQ(nlohmann::json::parse(line), nlohmann::json::parse(is.line));
  }
  std::string many = "{\"text\":\"last\"";
  for (int i = 0; i < 100; ++i) many += ",\"k" + std::to_string(i) + "\":" + std::to_string(i);
  EXPECT_FALSE(delivered(many + "}").repeated_keys);
  EXPECT_EQ(delivered(many + "}").line, many + "}");
  EXPECT_EQ(delivered(many + ",\"k7\":8}").line.find("\"k7\":7"), std::string::npos);
  EXPECT_FALSE(delivered(R"({"text":"last","m":{"text":"other"},"l":[{"a":1},{"a":1}]})").repeated_keys);
}

TEST(RecordParser, NumbersThatNothingReadsAreCarried) {
  for (const char* line : {R"({"text":"a","n":12345678901234567890123})", R"({"text":"a","n":-9223372036854775809})",
                           R"({"text":"a","n":1e400,"m":[-1E+999, {"x":18446744073709551616}]})",
                           R"({"text":"a","n":-9223371000000000000,"m":1e400})"}) {
    const Delivered is = delivered(line);
    EXPECT_EQ(is.error, "") << line;
    EXPECT_EQ(is.line, line);
    EXPECT_FALSE(is.non_finite || is.repeated_keys);
  }
  const char* loose = R"({"text":"NaN, Infinity","n":NaN,"m":{"x":[-Infinity,Infinity , 1]},"n":[NaN,1e400]})";
  EXPECT_EQ(delivered(loose).line, R"({"text":"NaN, Infinity","m":{"x":[-Infinity,Infinity , 1]},"n":[NaN,1e400]})");
  EXPECT_TRUE(delivered(loose).non_finite);
  EXPECT_TRUE(delivered(loose).repeated_keys);
  EXPECT_EQ(delivered(loose, kFields, true).line,
            R"({"text":"NaN, Infinity","m":{"x":[null,null , 1]},"n":[null,1e400]})");
  EXPECT_TRUE(delivered(loose, kFields, true).non_finite);
  EXPECT_EQ(delivered(R"({"text":"a","id":123456789012345678901234567890})").id, "123456789012345678901234567890");
  EXPECT_EQ(delivered(R"({"text":NaN})").error, "field \"text\" is not a string");
}

TEST(RecordParser, NestedFields) {
  const FieldNames nested = {"data.body.text", "meta.id", "", ""};
  EXPECT_EQ(delivered(R"({"data":{"body":{"text":"a"}},"meta":{"id":5}})", nested).text, "a");
  EXPECT_EQ(delivered(R"({"data":{"body":{"text":"a"}},"meta":{"id":5}})", nested).id, "5");
  EXPECT_EQ(delivered(R"({"data":{"body":{"text":"a"}},"data.body.text":"b"})", nested).text, "b");
  EXPECT_EQ(delivered(R"({"data.body":{"text":"b"},"data":{"body":{"text":"a"}}})", nested).text, "b");
  EXPECT_EQ(delivered(R"({"data":{"body.text":"c","body":1}})", nested).text, "c");
  EXPECT_EQ(delivered(R"({"data":{"body":[{"text":"a"}]}})", nested).error, "no field \"data.body.text\"");
}

TEST(DetectFields, UsualNames) {
  base::Block block;
  block.bytes = "{\"url\":\"u\",\"content\":\"c\",\"n\":1}\n";
  DetectedFields found = detect_fields(block, {});
  EXPECT_TRUE(found.known);
  EXPECT_EQ(found.names, (FieldNames{"content", "url", "", ""}));
  EXPECT_EQ(found.lacks, "");
  block.bytes = "{\"a\":1,\"b\":\"x\"}\n";
  EXPECT_NE(detect_fields(block, {}).lacks.find("are a, b: "), std::string::npos);
  block.bytes = R"({"data":{"n":1,"body":{"text":"x"},"l":[{"t":"x"}]},"meta":{"url":"u"}})"
                "\n"
                R"({"data":{"body":{"text":"y"}}})"
                "\n";
  EXPECT_NE(detect_fields(block, {}).lacks.find("are data, meta; nested: data.body.text, meta.url: "),
            std::string::npos);
  block.bytes = "no JSON\n[\"content\"]\n{\"content\":\n";
  found = detect_fields(block, {"", "n", "", ""});
  EXPECT_FALSE(found.known);
  EXPECT_EQ(found.names, (FieldNames{"text", "n", "", ""}));
  EXPECT_EQ(found.lacks, "");
}

TEST(DetectFields, NamedText) {
  base::Block block;
  block.bytes = "{\"content\":\"c\",\"n\":1,\"in\":{\"side\":\"x\"}}\n";
  EXPECT_EQ(detect_fields(block, {"content", "", "", ""}).lacks, "");
  EXPECT_EQ(detect_fields(block, {"in.side", "", "", ""}).lacks, "");
  for (const char* wrong : {"n", "contents", "in", "in.n"})
    EXPECT_NE(detect_fields(block, {wrong, "", "", ""}).lacks.find("content, n, in"), std::string::npos) << wrong;
  // It may be rare: all of the block is looked at.
  block.bytes.clear();
  for (int i = 0; i < 500; ++i) block.bytes += "{\"id\":1}\n";
  EXPECT_NE(detect_fields(block, {"rare", "", "", ""}).lacks, "");
  block.bytes += "{\"rare\":\"x\"}\n";
  EXPECT_EQ(detect_fields(block, {"rare", "", "", ""}).lacks, "");
}

}  // namespace
}  // namespace curate
