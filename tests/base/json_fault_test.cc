#include "base/json_fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using base::json_fault;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(JsonFault, SaysWhatAndWhere) {
  EXPECT_EQ(json_fault("{\"a\": [1, 2]}"), "");
  EXPECT_EQ(json_fault("{\"a\": [1, 2"), "unexpected end of input (column 12)");
  EXPECT_EQ(json_fault(""), "unexpected end of input (column 1)");
  EXPECT_EQ(json_fault("{\"a\": tru}"), "invalid literal (column 10)");
  EXPECT_EQ(json_fault("{\n  \"a\" 1}"), "unexpected number literal (line 2, column 7)");
  EXPECT_EQ(json_fault("{\"a\": 1} x"), "invalid literal (column 10)");
  for (const char* text :
       {"{\"a\": \"\xFF\"}", "{\"a\": \"\\ud800\"}", "{\"a\": \"\\x\"}", "[1e999]", "{'a': 1}", "}"}) {
    const std::string fault = json_fault(text);
    EXPECT_THAT(fault, AllOf(HasSubstr("(column "), Not(HasSubstr("exception")), Not(HasSubstr("syntax error"))))
        << text;
  }
}

TEST(JsonFault, NamesTheFile) {
  EXPECT_STREQ(base::no_json_object("{\"a\"", "config.json", "fetch it again").what(),
               "config.json: not valid JSON: got 'unexpected end of input (column 5)'\n  fetch it again");
  EXPECT_STREQ(base::no_json_object("[1]", "config.json", "").what(),
               "config.json: not a JSON object: got '[1]', expected {...}");
}

}  // namespace
