// Attributes of values: methods, and what Python's objects tell of themselves. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "tokenizer/jinja/loop.h"
#include "tokenizer/jinja/syntax.h"

namespace tokenizer::jinja {

namespace {

Value reset_cycler(Engine&, const Value& self, const Arguments&) {
  self.cycler->position = 0;
  return Value::none();
}
Value next_of_cycler(Engine&, const Value& self, const Arguments&) {
  Cycler& cycler = *self.cycler;
  const Value current = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return current;
}
constexpr std::array kCyclerMethods = {Method{"reset", reset_cycler}, Method{"next", next_of_cycler}};

Value macro_attribute(Engine& engine, const MacroStatement& macro, std::string_view name) {
  if (name == "name") return Value::string_of(macro.name);
  if (name == "catch_kwargs") return Value::boolean_of(macro.reads_kwargs);
  if (name == "catch_varargs") return Value::boolean_of(macro.reads_varargs);
  if (name == "caller") return Value::boolean_of(macro.reads_caller);
  if (name != "arguments") return Value::undefined(Missing::kAttribute, name, Type::kMacro);
  ListBuilder names(engine);
  for (const Parameter& parameter : macro.parameters) names.add(Value::string_of(parameter.name));
  return names.finish(Type::kTuple);
}

}  // namespace

bool is_unsafe(Type type, std::string_view name) {
  static constexpr std::array<std::string_view, 5> kDict = {"clear", "pop", "popitem", "setdefault", "update"};
  static constexpr std::array<std::string_view, 8> kList = {"append", "clear", "pop",    "reverse",
                                                            "insert", "sort",  "extend", "remove"};
  if (name.starts_with("__") && name.ends_with("__")) return true;
  if (type == Type::kDict) return std::ranges::find(kDict, name) != kDict.end();
  return type == Type::kList && std::ranges::find(kList, name) != kList.end();
}

const Method* find_method(Type type, std::string_view name) {
  switch (type) {
    case Type::kString:
      return find_string_method(name);
    case Type::kLoop:
      return find_loop_method(name);
    case Type::kCycler:
      for (const Method& method : kCyclerMethods)
        if (method.name == name) return &method;
      return nullptr;
    default:
      return find_container_method(type, name);
  }
}

Value own_attribute(Engine& engine, const Value& value, std::string_view name) {
  if (is_unsafe(value.type, name)) return Value::undefined(Missing::kUnsafe, name, value.type);
  if (const Method* method = find_method(value.type, name)) {
    Value bound = Value::of_type(Type::kMethod);
    bound.method = engine.arena.make<BoundMethod>(method, value);
    return bound;
  }
  switch (value.type) {
    case Type::kNamespace:
      if (const Value* found = value.dict->find(name)) return *found;
      break;
    case Type::kLoop:
      if (const LoopAttribute which = find_loop_attribute(name); which != LoopAttribute::kNone)
        return loop_attribute(engine, *value.loop, which);
      break;
    case Type::kMacro:
      return macro_attribute(engine, *value.closure->macro, name);
    case Type::kCycler:
      if (name == "current") return value.cycler->items[value.cycler->position];
      if (name == "pos") return Value::integer_of(static_cast<std::int64_t>(value.cycler->position));
      if (name == "items")
        return Value::sequence_of(Type::kTuple, value.cycler->items.data(), value.cycler->items.size());
      break;
    case Type::kTuple:
      if (value.detail == kGroup && name == "grouper") return value.items[0];
      if (value.detail == kGroup && name == "list") return value.items[1];
      break;
    default:
      break;
  }
  return Value::undefined(Missing::kAttribute, name, value.type);
}

Value attribute(Engine& engine, const Value& value, std::string_view name) {
  if (value.is_undefined()) engine.fail(describe_undefined(value));
  const Value own = own_attribute(engine, value, name);
  if (!own.is_undefined() || !value.is(Type::kDict) || own.detail == static_cast<std::uint8_t>(Missing::kUnsafe))
    return own;
  const Value* found = value.dict->find(name);
  return found ? *found : own;
}

std::string describe_undefined(const Value& value) {
  const std::string name = base::shortened(value.string(), 60);
  const std::string_view type = type_name(Value::of_type(value.of));
  switch (static_cast<Missing>(value.detail)) {
    case Missing::kVariable:
      return fmt::format("'{}' is undefined", name);
    case Missing::kAttribute:
      return fmt::format("a {} has no '{}'", type, name);
    case Missing::kElement:
      return fmt::format("a {} has no such element", type);
    case Missing::kUnsafe:
      return fmt::format("'{}' of a {} is not open to templates", name, type);
    case Missing::kHint:
      break;
  }
  return name;
}

Value attribute_path(Engine& engine, const Value& item, const Value& path) {
  if (!path.is_string()) return subscript(engine, item, path);
  Value value = item;
  engine.charge(1 + path.size / 8);
  for (const std::string& part : base::split(path.string(), '.')) {
    const bool number =
        !part.empty() && part.size() < 18 && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    value = subscript(engine, value, number ? Value::integer_of(std::stoll(part)) : engine.copy(part));
  }
  return value;
}

}  // namespace tokenizer::jinja
