// The dates that `keep: newest` compares.
#include "curate/dedup/dates.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace curate {
namespace {

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kMay = 1714557600 * kSecond;  // 2024-05-01T10:00:00Z

TEST(Dates, EveryFormOfOneMoment) {
  for (const char* text : {"2024-05-01T10:00:00Z",
                           "2024-05-01T10:00:00",
                           "2024-05-01 10:00",
                           "2024-5-1 10:00:00",
                           "2024/05/01 10:00:00",
                           "20240501T100000Z",
                           "20240501T1000",
                           "20240501100000",
                           "2024-05-01T10:00:00.000+00:00",
                           "2024-05-01t10:00:00z",
                           "2024-05-01T12:00:00+02:00",
                           "2024-05-01T12:00:00+0200",
                           "2024-05-01T12:00:00+02",
                           "2024-05-01 12:00:00 +02:00",
                           "2024-05-01T04:30:00,0-05:30",
                           "2024-05-01 10:00:00 UTC",
                           "  2024-05-01T10:00:00Z\n",
                           "1714557600",
                           "1714557600.0",
                           "1.7145576e9",
                           "1714557600000",
                           "1714557600000000",
                           "1714557600000000000",
                           "Wed, 1 May 2024 10:00:00 GMT",
                           "Wed, 01 May 2024 12:00:00 +0200",
                           "1 May 2024 06:00 EDT",
                           "Wednesday, 01-May-2024 10:00:00 GMT",
                           "Wed, 1 May 2024 10:00:00 +0000 (UTC)",
                           "May 1, 2024, 10:00"})
    EXPECT_EQ(parse_date(text), kMay) << text;
}

TEST(Dates, WhatIsLeftOutIsTheFirst) {
  const auto year = parse_date("2024-01-01T00:00:00Z"), may = parse_date("2024-05-01T00:00:00Z");
  for (const char* text : {"2024", "2024.0", "2024-01", "2024-1-1", "20240101", "Jan 1, 2024", "1 January 2024"})
    EXPECT_EQ(parse_date(text), year) << text;
  for (const char* text : {"2024-05", "2024/5", "May 1, 2024", "Wed, 1 May 2024"})
    EXPECT_EQ(parse_date(text), may) << text;
  EXPECT_EQ(parse_date("Sept 1, 2020"), parse_date("2020-09-01"));
}

TEST(Dates, FractionsAndNumbersHaveAnOrder) {
  EXPECT_EQ(parse_date("2024-05-01T10:00:00.25Z"), kMay + kSecond / 4);
  EXPECT_EQ(parse_date("2024-05-01T10:00:00.123456789Z"), kMay + 123456);
  EXPECT_EQ(parse_date("1714557600.5"), kMay + kSecond / 2);
  EXPECT_EQ(parse_date("5.5"), 5 * kSecond + kSecond / 2);
  EXPECT_EQ(parse_date("10"), 10 * kSecond);
  EXPECT_EQ(parse_date("-1"), -kSecond);
  EXPECT_EQ(parse_date("20241301"), 20241301 * kSecond);  // no month 13: seconds
  EXPECT_LT(parse_date("1969-12-31T23:59:59Z"), parse_date("0"));
  EXPECT_LT(parse_date("2024-9-1"), parse_date("2024-10-1"));
  EXPECT_LT(parse_date("2024-01-02T10:00:00+05:00"), parse_date("2024-01-02T06:00:00Z"));
  EXPECT_LT(parse_date("2024-01-02T01:00:00Z"), parse_date("2024-01-01T23:00:00-05:00"));
}

TEST(Dates, WhatIsNotUnderstood) {
  for (const char* text : {"",
                           " ",
                           "no date",
                           "12/31/2019",
                           "31.12.2019",
                           "1/2/2024",
                           "2024-13-01",
                           "2024-02-30",
                           "2024-00-00",
                           "2024-05-01T",
                           "2024-05-01T25:00",
                           "2024-05-01T10:61",
                           "2024-05-01T10:00:00 Mars",
                           "2024-05-01T10:00:00+",
                           "2024-05-01x",
                           "24-05-01",
                           "2024-05-01T10:00:00.Z",
                           "1 Mai 2024",
                           "May 2024",
                           "nan",
                           "inf",
                           "true",
                           "1714557600x",
                           "99999-01-01",
                           "2024-05-01T24:00:01",
                           "20240230T100000"})
    EXPECT_EQ(parse_date(text), std::nullopt) << text;
  EXPECT_EQ(parse_date("2024-02-29T24:00:00"), parse_date("2024-03-01"));
}

}  // namespace
}  // namespace curate
