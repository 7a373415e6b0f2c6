#include "base/record_shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/random.h"
#include "tests/error_of.h"

namespace {

using base::Column;
using base::ColumnType;
using base::RecordShape;
using nlohmann::json;
using nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// "{a: integer, b: [string]}"
std::string words(const ColumnType& type) {
  static const char* const kNames[] = {"null", "boolean", "integer", "unsigned", "double", "string", "json"};
  if (type.kind == ColumnType::Kind::kList) return "[" + words(type.children.at(0)) + "]";
  if (type.kind != ColumnType::Kind::kStruct) return kNames[static_cast<int>(type.kind)];
  std::string text;
  for (std::size_t i = 0; i < type.names.size(); ++i)
    text += (i ? ", " : "") + type.names[i] + ": " + words(type.children.at(i));
  return "{" + text + "}";
}

RecordShape shape_of(const std::vector<std::string>& records) {
  RecordShape shape;
  for (const std::string& record : records) shape.add(record);
  return shape;
}

TEST(RecordShape, TypesOfFields) {
  const struct {
    std::vector<std::string> records;
    const char* type;
  } kCases[] = {
      {{R"({"a":1,"b":"x","c":true,"d":0.5,"e":null})"}, "{a: integer, b: string, c: boolean, d: double, e: null}"},
      {{R"({"b":1})", R"({"a":1,"b":null})"}, "{b: integer, a: integer}"},
      {{R"({"a":1})", R"({"a":0.5})"}, "{a: double}"},
      {{R"({"a":9007199254740992})", R"({"a":0.5})"}, "{a: double}"},
      {{R"({"a":9007199254740993})", R"({"a":0.5})"}, "{a: json}"},
      {{R"({"a":9223372036854775807})", R"({"a":-9223372036854775808})"}, "{a: integer}"},
      {{R"({"a":18446744073709551615})", R"({"a":0})"}, "{a: unsigned}"},
      {{R"({"a":18446744073709551615})", R"({"a":-1})"}, "{a: json}"},
      {{R"({"a":1})", R"({"a":"1"})"}, "{a: json}"},
      {{R"({"a":[]})", R"({"a":null})"}, "{a: [null]}"},
      {{R"({"a":[1]})", R"({"a":[null,"x"]})", R"({"b":[[],[true]]})"}, "{a: [json], b: [[boolean]]}"},
      {{R"({"a":{}})", R"({"a":null})"}, "{a: json}"},
      {{R"({"a":{"x":{"y":1}}})", R"({"a":{"z":"w","x":{"y":2.5}}})"}, "{a: {x: {y: double}, z: string}}"},
      {{R"({"a":{"x":1}})", R"({"a":[1]})"}, "{a: json}"},
      {{R"({"\u00e9\"":1,"é\"":2})"}, "{é\": integer}"},
      {{R"({"a":1,"a":"x"})", R"({"a":"y"})"}, "{a: string}"},
      {{R"({"a":NaN,"b":[-Infinity,1]})", R"({"a":2})"}, "{a: double, b: [double]}"},
      {{R"({"a":1e400,"b":12345678901234567890123})", R"({"a":0.5,"b":7})"}, "{a: json, b: json}"},
  };
  for (const auto& [records, type] : kCases) EXPECT_EQ(words(shape_of(records).type()), type) << records[0];
}

TEST(RecordShape, FieldsOfJsonText) {
  RecordShape shape =
      shape_of({R"({"a":1,"m":{"b":1,"c":[{"d":1}]},"ok":1})", R"({"a":[],"m":{"b":"","c":[{"d":""}]}})"});
  EXPECT_THAT(shape.json_text(), ElementsAre("a", "m.b", "m.c[].d"));
  EXPECT_THAT(shape_of({R"({"a":1})"}).json_text(), IsEmpty());
}

TEST(RecordShape, Limits) {
  json members, deep = 1;
  for (int i = 0; i < 1001; ++i) members["key" + std::to_string(i)] = i;
  for (int i = 0; i < 40; ++i) deep = {{"d", deep}};
  RecordShape shape = shape_of({json({{"wide", members}, {"deep", deep}}).dump()});
  EXPECT_THAT(words(shape.type()), HasSubstr("wide: json"));
  EXPECT_EQ(shape.json_text().size(), 2u);
  json wide;
  for (int i = 0; i <= 10000; ++i) wide["key" + std::to_string(i)] = i;
  EXPECT_THAT(error_of([&] { shape_of({wide.dump()}).type(); }), HasSubstr("too many different fields"));
}

json random_value(base::Random& random, int depth) {
  switch (random.below(depth > 2 ? 5 : 7)) {
    case 0:
      return nullptr;
    case 1:
      return random.below(2) == 0;
    case 2:
      return static_cast<std::int64_t>(random());
    case 3:
      return static_cast<double>(random.below(1000)) / 8;
    case 4:
      return "text " + std::to_string(random.below(100));
    case 5: {
      json list = json::array();
      for (std::uint64_t n = random.below(4); n > 0; --n) list.push_back(random_value(random, depth + 1));
      return list;
    }
    default: {
      json object = json::object();
      for (std::uint64_t n = random.below(4); n > 0; --n)
        object["k" + std::to_string(random.below(4))] = random_value(random, depth + 1);
      return object;
    }
  }
}

// Takes what a splitter gives and makes JSON of it again.
class JsonColumn final : public Column {
 public:
  explicit JsonColumn(const ColumnType& type) : type_(type) {
    for (const ColumnType& child : type.children) children_.push_back(std::make_unique<JsonColumn>(child));
  }
  void null() override { rows_.push_back(nullptr); }
  void boolean(bool value) override { take(ColumnType::Kind::kBoolean, value); }
  void integer(std::int64_t value) override { take(ColumnType::Kind::kInteger, value); }
  void number(std::uint64_t value) override { take(ColumnType::Kind::kUnsigned, value); }
  void number(double value) override { take(ColumnType::Kind::kDouble, value); }
  void string(std::string_view value) override {
    if (type_.kind == ColumnType::Kind::kJson) {
      rows_.push_back(json::parse(value));
    } else {
      take(ColumnType::Kind::kString, value);
    }
  }
  void list() override { begin(ColumnType::Kind::kList); }
  void object() override { begin(ColumnType::Kind::kStruct); }
  Column& child(std::size_t i) override { return *children_.at(i); }

  // All rows so far; children's rows go to their parents first.
  std::vector<json> rows() {
    for (std::size_t i = 0; i < begun_.size(); ++i) {
      json& row = rows_[begun_[i].first];
      for (std::size_t c = 0; c < children_.size(); ++c) {
        std::vector<json> values = children_[c]->rows();
        const std::size_t from = begun_[i].second[c],
                          to = i + 1 < begun_.size() ? begun_[i + 1].second[c] : values.size();
        if (type_.kind == ColumnType::Kind::kList) {
          row = json::array();
          for (std::size_t k = from; k < to; ++k) row.push_back(values[k]);
        } else {
          EXPECT_EQ(to - from, 1u);
          row[type_.names[c]] = values.at(from);
        }
      }
    }
    return rows_;
  }

 private:
  template <class Value>
  void take(ColumnType::Kind kind, Value value) {
    EXPECT_EQ(static_cast<int>(type_.kind), static_cast<int>(kind));
    rows_.emplace_back(value);
  }
  void begin(ColumnType::Kind kind) {
    EXPECT_EQ(static_cast<int>(type_.kind), static_cast<int>(kind));
    std::vector<std::size_t> starts;
    for (const auto& child : children_) starts.push_back(child->rows_.size());
    begun_.emplace_back(rows_.size(), starts);
    rows_.emplace_back();
  }
  const ColumnType& type_;
  std::vector<std::unique_ptr<JsonColumn>> children_;
  std::vector<json> rows_;
  std::vector<std::pair<std::size_t, std::vector<std::size_t>>> begun_;  // row, first rows of the children
};

// `row` says the same as `record` but for nulls where a member is missing.
bool same(const json& record, const json& row) {
  if (record.is_object() && row.is_object()) {
    for (const auto& [key, value] : row.items())
      if (!same(record.value(key, json()), value)) return false;
    return true;
  }
  if (record.is_array() && row.is_array())
    return record.size() == row.size() && std::equal(record.begin(), record.end(), row.begin(),
                                                     [](const json& a, const json& b) { return same(a, b); });
  return record == row;
}

TEST(RecordShape, RandomRecordsComeBackFromTheirColumns) {
  base::Random random(8);
  for (int round = 0; round < 100; ++round) {
    std::vector<std::string> records;
    for (int i = 0; i < 20; ++i) {
      ordered_json record = {{"text", "t"}};
      for (std::uint64_t n = random.below(5); n > 0; --n)
        record["f" + std::to_string(random.below(40))] = random_value(random, 0);
      records.push_back(record.dump());
    }
    RecordShape whole = shape_of(records), joined;
    // Learnt in pieces: the same.
    for (std::size_t begin = 0; begin < records.size();) {
      const std::size_t end = std::min(records.size(), begin + 1 + random.below(6));
      joined.add(shape_of(
          {records.begin() + static_cast<std::ptrdiff_t>(begin), records.begin() + static_cast<std::ptrdiff_t>(end)}));
      begin = end;
    }
    const ColumnType type = whole.type();
    EXPECT_EQ(words(type), words(joined.type()));
    base::RecordSplitter splitter(type);
    JsonColumn column(type);
    for (const std::string& record : records) splitter.append(record, column);
    const std::vector<json> rows = column.rows();
    ASSERT_EQ(rows.size(), records.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_TRUE(same(json::parse(records[i]), rows[i])) << records[i] << "\n" << rows[i];
      EXPECT_EQ(rows[i].size(), type.names.size());
    }
  }
}

TEST(RecordShape, OfAMemberThatStandsTwiceTheLastCounts) {
  const std::vector<std::string> records = {R"({"a":1,"b":null,"a":2,"s":"x"})", R"({"s":"\u00e9","a":3})"};
  const ColumnType type = shape_of(records).type();
  EXPECT_EQ(words(type), "{b: null, a: integer, s: string}");
  base::RecordSplitter splitter(type);
  JsonColumn column(type);
  for (const std::string& record : records) splitter.append(record, column);
  EXPECT_THAT(column.rows(),
              ElementsAre(json({{"a", 2}, {"b", nullptr}, {"s", "x"}}), json({{"a", 3}, {"b", nullptr}, {"s", "é"}})));
}

}  // namespace
