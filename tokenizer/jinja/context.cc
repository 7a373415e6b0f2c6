// What a template is given. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/context.h"

#include "base/error.h"
#include "base/unicode.h"

namespace tokenizer::jinja {

Value ContextBuilder::convert(const Variable& variable) {
  variable_ = variable.name;
  if (!variable.value) return messages(variable.messages);
  if (variable.role == Role::kMessages && variable.value->is_array()) return messages(*variable.value);
  return value(*variable.value, variable.role == Role::kSetting ? nullptr : source(-1, member(variable.name)));
}

Value ContextBuilder::messages(const Json& list) {
  if (list.size() > Origin::kMostMessages) throw base::Error("too many messages", std::string(variable_));
  Value* items = engine_.arena.array<Value>(list.size());
  std::int32_t index = 0;
  for (const Json& item : list) {
    items[index] = item.is_object() ? message(item, index) : value(item, source(index, -1));
    ++index;
  }
  return Value::sequence_of(Type::kList, items, list.size());
}

Value ContextBuilder::messages(std::span<const GivenMessage> list) {
  if (list.size() > Origin::kMostMessages) throw base::Error("too many messages", std::string(variable_));
  Value* items = engine_.arena.array<Value>(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    items[i] = list[i].all ? message(*list[i].all, index) : message(list[i], index);
  }
  return Value::sequence_of(Type::kList, items, list.size());
}

Value ContextBuilder::message(const GivenMessage& given, std::int32_t index) {
  Dict* dict = engine_.arena.make<Dict>();
  dict->message = index;
  dict->reserve(engine_, 2);
  const auto add = [&](std::string_view name, std::string_view text) {
    const Source* where = source(index, member(name));
    dict->add(engine_, Value::string_of(name, where), string(text, where));
  };
  add("role", given.role);
  add("content", given.content);
  return Value::dict_of(dict);
}

Value ContextBuilder::message(const Json& object, std::int32_t index) {
  Dict* dict = engine_.arena.make<Dict>();
  dict->message = index;
  dict->reserve(engine_, object.size());
  for (const auto& [name, json] : object.get_ref<const Json::object_t&>()) {
    const Source* where = source(index, member(name));
    dict->add(engine_, Value::string_of(name, where), value(json, where));
  }
  return Value::dict_of(dict);
}

Value ContextBuilder::value(const Json& json, const Source* source) {
  engine_.check_stack();
  Value result;
  switch (json.type()) {
    case Json::value_t::string:
      return string(json.get_ref<const std::string&>(), source);
    case Json::value_t::object:
      return dict(json, source);
    case Json::value_t::array: {
      Value* items = engine_.arena.array<Value>(json.size());
      std::size_t count = 0;
      for (const Json& item : json) items[count++] = value(item, source);
      result = Value::sequence_of(Type::kList, items, count);
      break;
    }
    case Json::value_t::boolean:
      result = Value::boolean_of(json.get<bool>());
      break;
    case Json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() > INT64_MAX)
        throw base::Error({"a number is too large for a chat template", std::string(variable_),
                           std::to_string(json.get<std::uint64_t>()), "an integer below 2^63", "write it as a string"});
      [[fallthrough]];
    case Json::value_t::number_integer:
      result = Value::integer_of(json.get<std::int64_t>());
      break;
    case Json::value_t::number_float:
      result = Value::real_of(json.get<double>());
      break;
    default:
      result = Value::none();
  }
  result.source = source;
  return result;
}

Value ContextBuilder::string(std::string_view text, const Source* source) {
  check(text);
  return Value::string_of(text, source);
}

Value ContextBuilder::dict(const Json& object, const Source* source) {
  Dict* dict = engine_.arena.make<Dict>();
  dict->reserve(engine_, object.size());
  for (const auto& [name, json] : object.get_ref<const Json::object_t&>())
    dict->add(engine_, string(name, source), value(json, source));
  return Value::dict_of(dict, source);
}

void ContextBuilder::check(std::string_view text) const {
  if (text.size() < 64 && is_ascii(text)) return;
  if (text.size() > Arena::kLimit || base::find_invalid_utf8(text) != std::string_view::npos)
    throw base::Error("a text is no UTF-8, or too long for a chat template", std::string(variable_));
}

const Source* ContextBuilder::source(std::int32_t message, std::int32_t member) {
  return engine_.arena.make<Source>(Origin{message, member}.tag());
}

std::int32_t ContextBuilder::member(std::string_view name) {
  for (std::size_t i = 0; i < members_.size(); ++i)
    if (members_[i] == name) return static_cast<std::int32_t>(i);
  check(name);
  // So many that nobody tells them apart: the last number stands for all others.
  if (members_.size() == Origin::kMostMembers) return Origin::kMostMembers - 1;
  members_.emplace_back(name);
  return static_cast<std::int32_t>(members_.size() - 1);
}

}  // namespace tokenizer::jinja
