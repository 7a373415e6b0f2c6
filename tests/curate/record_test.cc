#include "curate/record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

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
  EXPECT_EQ(parser.parse(R"({"text":""})", 0, kFields, record), "");
  EXPECT_EQ(record.text, "");
  EXPECT_EQ(record.id, "");
  std::string nul("{\"text\":\"a\\u0000b\"}");
  EXPECT_EQ(parser.parse(nul, 0, kFields, record), "");
  EXPECT_EQ(record.text, std::string_view("a\0b", 3));
}

TEST(RecordParser, RefusesWhatIsNotARecord) {
  using namespace std::string_literals;
  for (const std::string& bad :
       {R"({"text":"a"} {"text":"b"})"s, R"({"text":"a"}x)"s, R"({"text":"a","x":NaN})"s, R"({"text":"a",})"s,
        R"({"text":"a")"s, R"({'text':'a'})"s, "{\"text\":\"a\tb\"}"s, "{\"text\":\"\xff\"}"s,
        "{\"text\":\"\xed\xa0\x80\"}"s, "{\"text\":\"a\0b\"}"s, R"({"text":"\ud800"})"s, R"({"text":"\udc00 x"})"s,
        R"({"text":"\ud800\u0041"})"s, R"([1])"s, R"("text")"s, "["s + std::string(100000, '[') + "]",
        R"({"text":"a","n":01})"s, R"({"text":"a","n":1e})"s, R"(null)"s})
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

TEST(AppendRecord, OfSeveralHornbookKeysOneIsLeft) {
  EXPECT_EQ(written(R"({"hornbook":{"a":1},"text":"t","hornbook":{"b":2}})", nullptr, R"("s":1)"),
            "{\"text\":\"t\",\"hornbook\":{\"b\":2,\"s\":1}}\n");
  EXPECT_EQ(written(R"({"hornbook":1 , "horn\u0062ook":2, "text":"t" , "hornbook" : {"b":2} , "hornbook":4})", "u", ""),
            "{\"text\":\"u\" }\n");
  EXPECT_EQ(written(R"({"n":1,"hornbook":1,"text":"t","hornbook":2,"m":3})", "u", R"("s":1)"),
            "{\"n\":1,\"text\":\"u\",\"m\":3,\"hornbook\":{\"s\":1}}\n");
  EXPECT_EQ(written(R"({"hornbook":1,"hornbook":2})", nullptr, R"("s":1)"), "{\"hornbook\":{\"s\":1}}\n");
}

TEST(DetectFields, UsualNames) {
  base::Block block;
  block.bytes = "{\"url\":\"u\",\"content\":\"c\",\"n\":1}\n";
  FieldNames names;
  EXPECT_TRUE(detect_fields(block, {}, names));
  EXPECT_EQ(names.text, "content");
  EXPECT_EQ(names.id, "url");
  EXPECT_EQ(names.source, "");
  EXPECT_TRUE(detect_fields(block, {"n", "", "", ""}, names));
  EXPECT_EQ(names.text, "n");
  block.bytes = "{\"a\":1,\"b\":\"x\"}\n";
  try {
    detect_fields(block, {}, names);
    FAIL();
  } catch (const base::UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("a, b"), std::string::npos) << error.what();
  }
  block.bytes = "no JSON\n[\"content\"]\n{\"content\":\n";
  EXPECT_FALSE(detect_fields(block, {"", "n", "", ""}, names));
  EXPECT_EQ(names.text, "text");
  EXPECT_EQ(names.id, "n");
}

}  // namespace
}  // namespace curate
