// Two parsers read JSON's values, and give the same.
#include "base/json_values.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "base/json_fault.h"
#include "base/json_text.h"

namespace base {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// What a value is, with the type of every number.
template <class Json>
std::string described(const Json& value) {
  if (value.is_discarded()) return "discarded";
  if (value.is_object()) {
    std::string text = "{";
    for (const auto& [key, member] : value.items()) text += key + ":" + described(member) + ",";
    return text + "}";
  }
  if (value.is_array()) {
    std::string text = "[";
    for (const auto& item : value) text += described(item) + ",";
    return text + "]";
  }
  const bool is_zero = value.is_number_integer() && value == 0;  // "-0" is 0 with another type
  return (is_zero ? "" : std::to_string(static_cast<int>(value.type()))) +
         value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void expect_as_nlohmann(const std::string& text) {
  EXPECT_EQ(described(lenient_ordered_json(text)), described(ordered_json::parse(text, nullptr, false))) << text;
  EXPECT_EQ(described(lenient_json(text)), described(json::parse(text, nullptr, false))) << text;
}

TEST(JsonValues, AreThoseOfTheOtherParser) {
  for (const std::string text : {R"({"b":1,"a":[true,false,null,"x"],"c":{"z":{},"y":[]}})",
                                 R"("text")",
                                 "3",
                                 " [1 , 2]\n",
                                 "{}",
                                 "[]",
                                 "0",
                                 "-0",
                                 "-0.0",
                                 "9223372036854775807",
                                 "9223372036854775808",
                                 "18446744073709551615",
                                 "-9223372036854775808",
                                 "1.5",
                                 "0.1",
                                 "1e3",
                                 "1E-320",
                                 "1.7976931348623157e308",
                                 R"("\u00e9\ud83d\ude00\u0000\n\/")",
                                 "\"é😀\"",
                                 R"({"":1,"a\u0062":2})"})
    expect_as_nlohmann(text);
}

TEST(JsonValues, WhatOneRefusesTheOtherRefuses) {
  for (const std::string text : {"",
                                 " ",
                                 "{",
                                 "{\"a\":1",
                                 "[1,]",
                                 "{\"a\":1}x",
                                 "01",
                                 "1.",
                                 ".5",
                                 "+1",
                                 "nul",
                                 "'a'",
                                 "\"\\ud800\"",
                                 "\"\x01\"",
                                 "\"\xff\"",
                                 "\"\xc0\x80\"",
                                 "\xef\xbb\xbf{}",
                                 "{\"a\" 1}",
                                 "[1 2]",
                                 "\"\t\""})
    expect_as_nlohmann(text);
}

TEST(JsonValues, ManyKeysAreToldAndTheLastCounts) {
  bool repeated = false;
  EXPECT_EQ(lenient_ordered_json(R"({"a":1,"b":2,"\u0061":3})", &repeated).dump(), R"({"a":3,"b":2})");
  EXPECT_TRUE(repeated);
  EXPECT_EQ(lenient_json(R"([{"x":{"a":1,"a":2}}])", &repeated).dump(), R"([{"x":{"a":2}}])");
  EXPECT_TRUE(repeated);
  lenient_json(R"({"a":{"b":1},"b":{"a":1}})", &repeated);
  EXPECT_FALSE(repeated);
}

TEST(JsonValues, TooDeepOnesAreRefused) {
  const auto nested = [](std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  bool repeated = false;
  for (bool* keys : {static_cast<bool*>(nullptr), &repeated}) {
    EXPECT_FALSE(lenient_json(nested(1000), keys).is_discarded());
    EXPECT_FALSE(lenient_json("[NaN," + nested(1000) + "]", keys).is_discarded());
    EXPECT_TRUE(lenient_json(nested(1000000), keys).is_discarded());
    EXPECT_TRUE(lenient_json("[NaN," + nested(1000000) + "]", keys).is_discarded());
  }
  EXPECT_EQ(base::json_fault(nested(1000000)), "more than 1024 lists and objects in each other");
}

TEST(JsonValues, LooseNumbersAreAsPythonReadsThem) {
  const std::string text =
      R"({"a":NaN,"b":[-Infinity,Infinity,123456789012345678901234567890,-99999999999999999999],"c":{"é":1.5}})";
  EXPECT_EQ(base::json_line(lenient_ordered_json(text)), text);
  EXPECT_EQ(base::json_line(lenient_json("[1e400,-1e400,18446744073709551616,0.10]")),
            "[Infinity,-Infinity,18446744073709551616,0.1]");
  EXPECT_EQ(base::json_line(lenient_json("[1e-400,-1e-400,NaN]")), "[0.0,-0.0,NaN]");
  EXPECT_EQ(base::json_fault(R"({"a":NaN,"b":})"), base::json_fault(R"({"a":0  ,"b":})"));
  const json value = lenient_json(R"({"a":NaN,"big":123456789012345678901234567890,"stand":-9223371000000000000})");
  EXPECT_TRUE(value["a"].is_number_float());
  EXPECT_FALSE(value["big"].is_number());
  EXPECT_EQ(value["stand"], -9223371000000000000);  // what stands for another is none of the text's own
  EXPECT_TRUE(lenient_json("{\"a\":NaN").is_discarded());
  EXPECT_TRUE(lenient_json(std::string_view()).is_discarded());  // whose data are nowhere
}

TEST(JsonValues, OfRandomTexts) {
  std::mt19937_64 random(7);
  const std::string_view parts[] = {"{",           "}",
                                    "[",           "]",
                                    ",",           ":",
                                    "\"a\"",       "\"b\"",
                                    "\"\\u00e9\"", "1",
                                    "-2",          "3.25",
                                    "1e9",         "true",
                                    "null",        " ",
                                    "\n",          "\"long text in it\"",
                                    "1e400",       "\"\\\"",
                                    "\"\"",        "false",
                                    "-0",          "1E+2",
                                    "0.30",        "\"\xe2\x82\xac\"",
                                    "NaN"};
  int read = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = random() % 2 == 0 ? "[" : "{\"k\":[";
    const std::string end = text.size() == 1 ? "]" : "]}";
    for (std::uint64_t n = random() % 6; n > 0; --n) {
      text += parts[random() % std::size(parts)];
      if (random() % 4 != 0 && n > 1) text += ",";
    }
    text += end;
    if (!loose_numbers(text).empty()) continue;
    expect_as_nlohmann(text);
    read += json::accept(text) ? 1 : 0;
  }
  EXPECT_GT(read, 2000);
}

}  // namespace
}  // namespace base
