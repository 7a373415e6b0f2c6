// The methods of dict, list, tuple, int and float. Tested by tests/tokenizer/jinja_test.cc.
#include <array>
#include <bit>
#include <cmath>

#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

namespace {

Value get(Engine& engine, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) engine.fail("get has no named arguments", arguments.named[0].name);
  const Parameters given(engine, "get", arguments, {"key", "default"}, 1);
  const Value* found = self.dict->find(engine, given[0]);
  return found ? *found : given.value_or(1, Value::none());
}

template <ViewKind kind>
Value view(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters none(engine, "this method", arguments, {});
  Value value = Value::of_type(Type::kView);
  value.detail = static_cast<std::uint8_t>(kind);
  value.dict = self.dict;
  value.source = self.source;
  return value;
}

Value copy_dict(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters none(engine, "copy", arguments, {});
  return make_dict(engine, {{&self, 1}, {}});
}

Value copy_list(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters none(engine, "copy", arguments, {});
  return self;
}

Value count(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "count", arguments, {"value"}, 1);
  std::int64_t times = 0;
  const Value list = to_list(engine, self);
  for (const Value& item : list.list()) times += identical(item, given[0]) || equal(engine, item, given[0]);
  return Value::integer_of(times);
}

Value index(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "index", arguments, {"value", "start", "stop"}, 1);
  const Value list = to_list(engine, self);
  const auto bound = [&](std::size_t at, std::int64_t otherwise) {
    const std::int64_t value = given.integer(at, otherwise);
    return value < 0 ? std::max<std::int64_t>(0, value + list.size) : std::min<std::int64_t>(value, list.size);
  };
  for (std::int64_t i = bound(1, 0); i < bound(2, list.size); ++i)
    if (identical(list.items[i], given[0]) || equal(engine, list.items[i], given[0])) return Value::integer_of(i);
  engine.fail("the value is not in the list");
}

Value is_integer(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters none(engine, "is_integer", arguments, {});
  return Value::boolean_of(std::isfinite(self.real) && self.real == std::floor(self.real));
}

Value bit_length(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters none(engine, "bit_length", arguments, {});
  const std::int64_t value = self.as_integer();
  const auto magnitude = value < 0 ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
  return Value::integer_of(std::bit_width(magnitude));
}

constexpr std::array kDict = {Method{"copy", copy_dict}, Method{"get", get}, Method{"items", view<ViewKind::kItems>},
                              Method{"keys", view<ViewKind::kKeys>}, Method{"values", view<ViewKind::kValues>}};
constexpr std::array kList = {Method{"copy", copy_list}, Method{"count", count}, Method{"index", index}};
constexpr std::array kTuple = {Method{"count", count}, Method{"index", index}};
constexpr std::array kInt = {Method{"bit_length", bit_length}};
constexpr std::array kFloat = {Method{"is_integer", is_integer}};

std::span<const Method> methods_of(Type type) {
  switch (type) {
    case Type::kDict:
      return kDict;
    case Type::kList:
      return kList;
    case Type::kTuple:
    case Type::kRange:
      return kTuple;
    case Type::kInt:
    case Type::kBool:
      return kInt;
    case Type::kFloat:
      return kFloat;
    default:
      return {};
  }
}

}  // namespace

const Method* find_container_method(Type type, std::string_view name) {
  for (const Method& method : methods_of(type))
    if (method.name == name) return &method;
  return nullptr;
}

}  // namespace tokenizer::jinja
