#include "base/input_tally.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/program.h"
#include "base/tolerance.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace base {
namespace {

using ::testing::HasSubstr;

std::string causes(const InputTally& tally, const std::vector<std::string>& files, bool all_read = true) {
  std::string text;
  for (const FileLoss& loss : tally.losses(files, all_read)) text += loss.file + ": " + loss.cause + "\n";
  return text;
}

TEST(InputTally, FilesThatGiveNothing) {
  InputTally tally;
  tally.of(0).used = 3;
  tally.refuse(Place{0, 100, 4}, "not JSON");  // one bad record of four is no loss
  tally.refuse(Place{1, 0, 1}, "no field \"text\"");
  tally.refuse(Place{1, 9, 2}, "not JSON");
  tally.of(1).advice = "its fields are a, b";
  tally.of(2);
  const std::vector<std::string> files = {"a", "b", "c", "d"};
  EXPECT_EQ(causes(tally, files),
            "b: none of its 2 records can be used, the first: line 1: no field \"text\"; its fields are a, b\n"
            "c: it holds no record\n"
            "d: it holds no record\n");
  EXPECT_EQ(causes(tally, files, false).find("d:"), std::string::npos) << "a limit came before it";
}

TEST(InputTally, FilesOfWhichMostIsRefused) {
  InputTally tally;
  tally.of(0).used = tally.of(1).used = 25;
  for (std::uint64_t i = 1; i <= 25; ++i) tally.refuse(Place{0, i, i}, "not JSON");
  for (std::uint64_t i = 1; i <= 24; ++i) tally.refuse(Place{1, i, i}, "not JSON");
  EXPECT_EQ(causes(tally, {"a", "b"}), "a: 25 of its 50 records cannot be used, the first: line 1: not JSON\n");
}

TEST(InputTally, FilesThatLostTheirTail) {
  InputTally tally;
  tally.of(0).used = 3;
  BadBytes bad{{0, 70, 8}, "xy", 2, "the compressed file is cut off"};
  tally.refuse(bad);
  EXPECT_EQ(causes(tally, {"a"}), "");
  bad.lost = true;
  tally.refuse(bad);
  EXPECT_EQ(causes(tally, {"a"}),
            "a: a part of it is lost, from line 8 on: the compressed file is cut off; 3 of its records were used\n");
  tally.of(1).used = 1;
  tally.refuse(Place{1, 3, 2}, "not JSON", true);
  EXPECT_THAT(causes(tally, {"a", "b"}),
              HasSubstr("b: a part of it is lost, its last record, line 2, is cut off; 1 of its records was used"));
}

// The file ends within the last record where its object is not closed; a whole one that cannot be used is just bad,
// and so is what a limit makes the last one.
TEST(InputTally, WhatIsCutOff) {
  TemporaryFolder folder;
  const auto cut_in = [&](const std::string& bytes, std::uint64_t limit = 0) {
    RecordOptions options;
    options.limit = limit;
    BlockReader reader({folder.write("x.jsonl", bytes)}, options);
    std::vector<BadBytes> bad;
    std::string cut;
    while (const auto block = reader.next(bad))
      for_each_line(*block, [&](std::string_view line, const Place&) { cut += is_cut_off(*block, line) ? line : ""; });
    return cut;
  };
  EXPECT_EQ(cut_in("{\"a\":1}\n{\"b\":[2"), "{\"b\":[2");
  EXPECT_EQ(cut_in("{\"a\":\"}"), "{\"a\":\"}");
  for (const char* whole : {"{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{b}", "{\"a\":1}\n[1", "{\"a\":1}\n{\"b\":\n"})
    EXPECT_EQ(cut_in(whole), "") << whole;
  EXPECT_EQ(cut_in("{\"a\":1}\n{\"b\":\r\n{\"c\":3}\n", 2), "");
}

// Pieces of an input add up to the whole, and a checkpoint keeps them.
TEST(InputTally, Adds) {
  InputTally whole, first, second;
  first.of(0).used = 2;
  first.refuse(Place{0, 9, 3}, "earlier");
  second.refuse(Place{0, 20, 5}, "later", true);
  second.refuse(Place{1, 0, 1}, "bad");
  whole.add(first);
  whole.add(second);
  const std::string expected = causes(whole, {"a", "b"});
  EXPECT_EQ(expected,
            "a: a part of it is lost, its last record, line 5, is cut off; 2 of its records were used\n"
            "b: none of its 1 record can be used, the first: line 1: bad\n");
  EXPECT_EQ(causes(InputTally::from_json(whole.to_json()), {"a", "b"}), expected);
}

TEST(InputTally, ToldAlsoWhenQuiet) {
  std::ostringstream out, err;
  const Context context{out, err, true, false, "", "curate"};
  EXPECT_EQ(tell_losses({}, context), 0);
  EXPECT_EQ(err.str(), "");
  EXPECT_EQ(tell_losses(std::vector<FileLoss>(13, {"x", "why", {}}), context), 1);
  EXPECT_THAT(err.str(), HasSubstr("lost: x: why\n"));
  EXPECT_THAT(err.str(), HasSubstr("lost: and 3 more files\n"));
}

TEST(Tolerance, CountsOrShares) {
  EXPECT_FALSE(Tolerance::parse("2").is_exceeded(2, 2, true));
  EXPECT_TRUE(Tolerance::parse("2").is_exceeded(3, 1'000'000, false));
  const Tolerance share = Tolerance::parse("1%");
  EXPECT_FALSE(share.is_exceeded(50, 60, false)) << "too early to tell";
  EXPECT_TRUE(share.is_exceeded(50, 60, true));
  EXPECT_TRUE(share.is_exceeded(101, 10'000, false));
  EXPECT_FALSE(share.is_exceeded(100, 10'000, true));
  EXPECT_TRUE(Tolerance::parse("0%").is_exceeded(1, 1'000'000, true));
  EXPECT_FALSE(Tolerance::parse("100%").is_exceeded(5, 5, true));
  for (const char* text : {"0", "100", "1%", "0.5%", "12.25 %"})
    EXPECT_EQ(Tolerance::parse(Tolerance::parse(text).text()).text(), Tolerance::parse(text).text());
  EXPECT_EQ(Tolerance::parse("0.5 %").text(), "0.5%");
  for (const char* text :
       {"", "%", "-1", "-1%", "101%", "1.5", "nan%", "many", "1%%", "1e999%", "99999999999999999999"})
    EXPECT_THAT(error_of([&] { Tolerance::parse(text); }), HasSubstr("or a share of them (1%)")) << text;
}

}  // namespace
}  // namespace base
