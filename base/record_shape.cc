// JSON records as columns: which type each field has over all records, and their values one record after another.
// Tested by tests/base/record_shape_test.cc.
#include "base/record_shape.h"

#include <cstdlib>
#include <functional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/json_record.h"
#include "base/text.h"

namespace base {
namespace {

using simdjson::dom::element_type;
using Element = simdjson::dom::element;
using Kind = ColumnType::Kind;

constexpr std::size_t kMostFields = 10000, kMostMembers = 1000;
constexpr int kDeepest = 32;
constexpr std::int64_t kExact = std::int64_t{1} << 53;  // integers up to here are doubles

void parse(JsonRecord& parser, std::string_view record) {
  if (std::string error = parser.parse(record); !error.empty()) throw Error({error, "", shortened(record), "", ""});
}

// What a number that JSON parsers refuse is in a column; nothing for other values.
std::string_view original(const StandIns& stand_ins, Element value) {
  return value.type() == element_type::INT64 ? stand_ins.original(value.get_int64().value_unsafe())
                                             : std::string_view{};
}
bool is_finite(std::string_view number) { return number.find('N') == number.npos && number.find('I') == number.npos; }

}  // namespace

struct RecordShape::Node {
  bool boolean = false, integer = false, real = false, string = false, list = false, object = false;
  bool negative = false, above_int64 = false, above_exact = false, deep = false, loose = false;
  std::vector<std::string> names;
  std::vector<std::unique_ptr<Node>> fields;
  std::unordered_map<std::string, std::size_t> index;
  std::unique_ptr<Node> element;

  Node& field(std::string_view name, std::size_t expected) {
    if (expected < names.size() && names[expected] == name) return *fields[expected];
    auto [found, is_new] = index.try_emplace(std::string(name), names.size());
    if (is_new) {
      names.emplace_back(name);
      fields.push_back(std::make_unique<Node>());
    }
    return *fields[found->second];
  }
  bool full(int depth) const { return fields.size() > (depth == 0 ? kMostFields : kMostMembers); }

  void add(Element value, int depth, const StandIns& stand_ins) {
    switch (value.type()) {
      case element_type::NULL_VALUE:
        return;
      case element_type::BOOL:
        boolean = true;
        return;
      case element_type::INT64: {
        if (const std::string_view number = original(stand_ins, value); !number.empty()) {
          real = true;
          loose |= is_finite(number);
          return;
        }
        const std::int64_t number = value.get_int64().value_unsafe();
        integer = true;
        negative |= number < 0;
        above_exact |= number > kExact || number < -kExact;
        return;
      }
      case element_type::UINT64:
        integer = above_int64 = above_exact = true;
        return;
      case element_type::DOUBLE:
        real = true;
        return;
      case element_type::STRING:
        string = true;
        return;
      case element_type::ARRAY:
        list = true;
        if (depth == kDeepest) {
          deep = true;
          return;
        }
        if (!element) element = std::make_unique<Node>();
        for (Element item : simdjson::dom::array(value)) element->add(item, depth + 1, stand_ins);
        return;
      case element_type::OBJECT:
        add(simdjson::dom::object(value), depth, stand_ins);
        return;
    }
  }
  void add(simdjson::dom::object members, int depth, const StandIns& stand_ins) {
    object = true;
    if (depth == kDeepest) {
      deep = true;
      return;
    }
    std::size_t i = 0;
    for (auto [key, member] : members) {
      if (full(depth)) return;
      field(key, i++).add(member, depth + 1, stand_ins);
    }
  }

  void add(const Node& later, int depth) {
    boolean |= later.boolean, integer |= later.integer, real |= later.real, string |= later.string;
    list |= later.list, object |= later.object, negative |= later.negative, deep |= later.deep;
    above_int64 |= later.above_int64, above_exact |= later.above_exact, loose |= later.loose;
    for (std::size_t i = 0; i < later.names.size() && !full(depth); ++i)
      field(later.names[i], i).add(*later.fields[i], depth + 1);
    if (later.element) {
      if (!element) element = std::make_unique<Node>();
      element->add(*later.element, depth + 1);
    }
  }

  Kind kind(int depth) const {
    const int types = boolean + (integer || real) + string + list + object;
    if (types == 0) return Kind::kNull;
    if (types > 1 || deep || loose || (object && (fields.empty() || full(depth)))) return Kind::kJson;
    if (boolean) return Kind::kBoolean;
    if (string) return Kind::kString;
    if (list) return Kind::kList;
    if (object) return Kind::kStruct;
    if (real) return above_exact ? Kind::kJson : Kind::kDouble;
    if (above_int64) return negative ? Kind::kJson : Kind::kUnsigned;
    return Kind::kInteger;
  }
  ColumnType type(int depth) const {
    ColumnType result{kind(depth), {}, {}};
    if (result.kind == Kind::kList) result.children.push_back(element->type(depth + 1));
    if (result.kind == Kind::kStruct) {
      result.names = names;
      for (const auto& node : fields) result.children.push_back(node->type(depth + 1));
    }
    return result;
  }
};

RecordShape::RecordShape() : root_(std::make_unique<Node>()) {}
RecordShape::~RecordShape() = default;
RecordShape::RecordShape(RecordShape&&) noexcept = default;
RecordShape& RecordShape::operator=(RecordShape&&) noexcept = default;

void RecordShape::add(std::string_view record) {
  thread_local JsonRecord parser;
  parse(parser, record);
  root_->add(parser.object(), 0, parser.stand_ins());
}

void RecordShape::add(const RecordShape& later) { root_->add(*later.root_, 0); }

ColumnType RecordShape::type() const {
  if (root_->full(0))
    throw Error({"too many different fields for Parquet", "", std::to_string(root_->fields.size()),
                 "at most " + std::to_string(kMostFields), "write JSONL instead: --format jsonl"});
  return root_->type(0);
}

std::vector<std::string> RecordShape::json_text() const {
  std::vector<std::string> found;
  std::function<void(const ColumnType&, const std::string&)> look = [&](const ColumnType& type,
                                                                        const std::string& path) {
    if (type.kind == Kind::kJson) found.push_back(path);
    for (std::size_t i = 0; i < type.children.size(); ++i) {
      const std::string name = type.names.empty() ? "[]" : type.names[i];
      look(type.children[i], path.empty() || type.names.empty() ? path + name : path + "." + name);
    }
  };
  look(type(), "");
  return found;
}

struct RecordSplitter::State {
  // A type with the places of its names.
  struct Plan {
    Kind kind;
    std::vector<std::string> names;
    std::unordered_map<std::string, std::size_t> index;
    std::vector<Plan> children;

    explicit Plan(const ColumnType& type) : kind(type.kind), names(type.names) {
      for (std::size_t i = 0; i < names.size(); ++i) index.emplace(names[i], i);
      for (const ColumnType& child : type.children) children.emplace_back(child);
    }
  };

  explicit State(const ColumnType& type) : plan(type) {}
  Plan plan;
  JsonRecord parser;

  void append(simdjson::dom::object object, const Plan& own, Column& column) {
    column.object();
    std::vector<Element> values(own.names.size());
    std::vector<bool> present(own.names.size());
    std::size_t expected = 0;
    for (auto [key, value] : object) {
      std::size_t i = expected++;
      if (i >= own.names.size() || own.names[i] != key) i = own.index.at(std::string(key));
      present[i] = true;
      values[i] = value;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (present[i]) {
        append(values[i], own.children[i], column.child(i));
      } else {
        column.child(i).null();
      }
    }
  }

  void append(Element value, const Plan& own, Column& column) {
    if (value.is_null()) return column.null();
    switch (own.kind) {
      case Kind::kNull:
        return column.null();
      case Kind::kBoolean:
        return column.boolean(value.get_bool().value());
      case Kind::kInteger:
        return column.integer(value.get_int64().value());
      case Kind::kUnsigned:
        return column.number(value.get_uint64().value());
      case Kind::kDouble:
        if (const std::string_view number = original(parser.stand_ins(), value); !number.empty())
          return column.number(std::strtod(std::string(number).c_str(), nullptr));
        return column.number(value.get_double().value());
      case Kind::kString:
        return column.string(value.get_string().value());
      case Kind::kJson:
        return column.string(parser.stand_ins().empty() ? simdjson::minify(value)
                                                        : parser.stand_ins().restored(simdjson::minify(value)));
      case Kind::kList:
        column.list();
        for (Element item : simdjson::dom::array(value)) append(item, own.children[0], column.child(0));
        return;
      case Kind::kStruct:
        return append(simdjson::dom::object(value), own, column);
    }
  }
};

RecordSplitter::RecordSplitter(const ColumnType& type) : state_(std::make_unique<State>(type)) {}
RecordSplitter::~RecordSplitter() = default;

void RecordSplitter::append(std::string_view record, Column& column) {
  parse(state_->parser, record);
  state_->append(state_->parser.object(), state_->plan, column);
}

}  // namespace base
