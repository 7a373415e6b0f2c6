#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "base/error.h"
#include "base/html.h"
#include "base/progress.h"

namespace {

using testing::ElementsAre;

TEST(Text, SplitTrimJoin) {
  EXPECT_THAT(base::split("a,b,,c", ','), ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(base::split("", ','), ElementsAre(""));
  EXPECT_THAT(base::split(",", ','), ElementsAre("", ""));
  EXPECT_EQ(base::trim(" \t\r\n a b \v\f"), "a b");
  EXPECT_EQ(base::trim(" \n"), "");
  EXPECT_EQ(base::join(std::vector<std::string>{"a", "b"}, ", "), "a, b");
  EXPECT_EQ(base::join(std::vector<std::string>{}, ", "), "");
}

TEST(Text, Nearest) {
  std::vector<std::string> names = {"learning_rate", "rank", "alpha", "epochs"};
  EXPECT_EQ(base::nearest("learning_rat", names), "learning_rate");
  EXPECT_EQ(base::nearest("rnak", names), "rank");  // two neighbours swapped
  EXPECT_EQ(base::nearest("zzzzzzzz", names), "");
  EXPECT_EQ(base::nearest("x", {}), "");
  const std::vector<std::string> languages = {"en", "de", "x"};
  EXPECT_EQ(base::nearest("xx", {languages.data(), 2}), "");  // nothing in common
  EXPECT_EQ(base::nearest("dee", languages), "de");
  EXPECT_EQ(base::nearest("y", languages), "");
  EXPECT_EQ(base::nearest("", languages), "");
}

TEST(Text, ForHumans) {
  EXPECT_EQ(base::human_bytes(0), "0 B");
  EXPECT_EQ(base::human_bytes(999), "999 B");
  EXPECT_EQ(base::human_bytes(1000), "1.0 kB");
  EXPECT_EQ(base::human_bytes(999'960), "1.0 MB");
  EXPECT_EQ(base::human_bytes(1.5e9), "1.5 GB");
  EXPECT_EQ(base::human_bytes(3e18), "3000.0 PB");
  EXPECT_EQ(base::human_count(0), "0");
  EXPECT_EQ(base::human_count(999), "999");
  EXPECT_EQ(base::human_count(1'234'567), "1,234,567");
  EXPECT_EQ(base::human_seconds(3.21), "3.2 s");
  EXPECT_EQ(base::human_seconds(61), "1 min 01 s");
  EXPECT_EQ(base::human_seconds(3720), "1 h 02 min");
}

TEST(Text, Shortened) {
  EXPECT_EQ(base::shortened("a\nb\x01\x7f"), "a\\nb\\x01\\x7f");
  EXPECT_EQ(base::shortened("abcdef", 3), "abc...");
  EXPECT_EQ(base::shortened("ab\xC3\xA9", 3), "ab...");  // never half a character
  EXPECT_EQ(base::shortened("ab\xC3\xA9", 4), "ab\xC3\xA9");
  EXPECT_EQ(base::shortened("\x80\x80\x80", 1), "...");
}

TEST(Text, JsonStringsAreReadBackByAParser) {
  std::string text;
  for (int c = 0; c < 128; ++c) text += static_cast<char>(c);
  text += "\xC3\xA9\xF0\x9F\x98\x80\xE2\x80\xA8";
  for (std::size_t size = 0; size <= text.size(); ++size) {
    if (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) continue;
    std::string json;
    base::append_json_string(json, text.substr(0, size));
    ASSERT_EQ(nlohmann::json::parse(json).get<std::string>(), text.substr(0, size));
  }
  std::string json;
  base::append_json_string(json, "\t\v\"\\/\xC3\xA9");
  EXPECT_EQ(json, "\"\\t\\u000b\\\"\\\\/\xC3\xA9\"");
}

TEST(Error, TheMessageHoldsEveryFact) {
  base::Error error({"not a number", "a.yaml:3", "x", "a whole number", "see --help"});
  EXPECT_STREQ(error.what(), "a.yaml:3: not a number: got 'x', expected a whole number\n  see --help");
  EXPECT_STREQ(base::Error("just this").what(), "just this");
  EXPECT_STREQ(base::Error({"bad", "", "", "a folder", ""}).what(), "bad: expected a folder");
  EXPECT_EQ(error.facts().value, "x");
  EXPECT_THROW(throw base::UsageError("x", "y"), base::Error);
}

TEST(Text, BytesAndPartsAreFoundInBlocksAsOneByOne) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text(random() % 300, ' ');
    for (char& c : text) c = "ab\n"[random() % 3];
    EXPECT_EQ(base::count_byte(text, '\n'), static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
    std::string part(2 + random() % 12, ' ');
    for (char& c : part) c = "ab\n"[random() % 3];
    if (random() % 2 && text.size() > part.size())
      text.replace(random() % (text.size() - part.size() + 1), part.size(), part);
    EXPECT_EQ(base::contains(text, part), text.find(part) != text.npos) << text << "|" << part;
  }
  const std::string at_the_end = std::string(200, 'x') + "hornbook";
  EXPECT_TRUE(base::contains(at_the_end, "hornbook"));
  EXPECT_FALSE(base::contains(at_the_end.substr(0, 207), "hornbook"));
  EXPECT_FALSE(base::contains("h", "hornbook"));
}

TEST(Text, TheMostFrequentOfATableOfCounts) {
  const auto tell = [](const std::string& name, std::uint64_t count) { return name + "=" + std::to_string(count); };
  const base::NamedCounts counts = {{"a", 2}, {"b", 30}, {"c", 2}, {"d", 4}};
  EXPECT_EQ(base::most_frequent(counts, 4, tell), "b=30, d=4, a=2, c=2");
  EXPECT_EQ(base::most_frequent(counts, 9, tell), "b=30, d=4, a=2, c=2");
  EXPECT_EQ(base::most_frequent(counts, 3, tell), "b=30, d=4, a=2, ...");
  EXPECT_EQ(base::most_frequent({}, 3, tell), "");
}

TEST(Text, StandsInHtml) {
  EXPECT_EQ(base::html_escaped("a<b> & \"c\"\t\n\x01\x7f\xC3\xA4"), "a&lt;b&gt; &amp; &quot;c&quot;\t\n\x7f\xC3\xA4");
}

TEST(Progress, TheLine) {
  EXPECT_EQ(base::progress_line("read", 0.25, "9 MB/s", 10), "read  25%  9 MB/s  30.0 s left");
  EXPECT_EQ(base::progress_line("read", -1, "9 MB/s", 10), "read  9 MB/s");
  EXPECT_EQ(base::progress_line("read", 0, "", 10), "read  0%");
  EXPECT_EQ(base::progress_line("read", 1.5, "", 10), "read  100%");
}

TEST(Progress, NothingIsDrawnWhereNothingIsDue) {
  std::ostringstream err;
  base::Progress progress(err, false, "read");
  progress.update(0.5, "");  // not a terminal: a line every 30 seconds
  progress.finish();
  EXPECT_EQ(err.str(), "");
}

TEST(Text, LowerCaseOfAsciiAlone) {
  EXPECT_EQ(base::ascii_lower("AZ az [@`{ 09 \xC3\x84\xC4\xB0"), "az az [@`{ 09 \xC3\x84\xC4\xB0");
  EXPECT_EQ(base::ascii_lower(""), "");
}

}  // namespace
