// What a template is given. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/context.h"

#include "base/error.h"
#include "base/json_fault.h"
#include "base/json_values.h"
#include "base/text.h"
#include "base/unicode.h"

namespace tokenizer::jinja {

namespace {

constexpr std::string_view kKnown[] = {"role", "content"};

// The number of a name among those of all messages, or kNone.
std::int32_t known_member(std::string_view name) {
  static_assert(Rendered::kRole == 0 && Rendered::kContent == 1);
  if (name.size() == 4 && std::memcmp(name.data(), "role", 4) == 0) return Rendered::kRole;
  if (name.size() == 7 && std::memcmp(name.data(), "content", 7) == 0) return Rendered::kContent;
  return Span::kNone;
}

}  // namespace

std::string_view known_name(std::string_view name) {
  const std::int32_t known = known_member(name);
  return known == Span::kNone ? name : kKnown[known];
}

ContextBuilder::ContextBuilder(Engine& engine, std::vector<std::string>& members) : engine_(engine), members_(members) {
  if (members_.size() < std::size(kKnown)) members_.assign(std::begin(kKnown), std::end(kKnown));
  members_.resize(std::size(kKnown));
}

Value ContextBuilder::convert(const Variable& variable) {
  variable_ = variable.name;
  if (variable.role == Role::kMessages && !variable.value) return messages(variable.messages);
  if (variable.role == Role::kMessages && variable.value->is_array()) return messages(*variable.value);
  const Source* where = variable.role == Role::kSetting ? nullptr : source(-1, member(variable.name));
  return variable.value ? value(*variable.value, where) : value(variable.json, where);
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
    items[i] = message(list[i], index);
  }
  return Value::sequence_of(Type::kList, items, list.size());
}

Value ContextBuilder::message(GivenMessage given, std::int32_t index) {
  Dict* dict = engine_.arena.make<Dict>();
  dict->message = index;
  dict->reserve(engine_, given.size());
  for (const GivenMember& one : given) {
    const Source* where = source(index, member(one.name));
    dict->set(engine_, Value::string_of(known_name(one.name), where),
              one.is_json ? value(one.value, where) : string(one.value, where));
  }
  return Value::dict_of(dict);
}

Value ContextBuilder::message(const Json& object, std::int32_t index) {
  Dict* dict = engine_.arena.make<Dict>();
  dict->message = index;
  dict->reserve(engine_, object.size());
  for (const auto& [name, json] : object.get_ref<const Json::object_t&>()) {
    const Source* where = source(index, member(name));
    dict->add(engine_, Value::string_of(known_name(name), where), value(json, where));
  }
  return Value::dict_of(dict);
}

Value ContextBuilder::value(std::string_view json, const Source* source) {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(json.data(), json.size()).get(root) == simdjson::SUCCESS) return value(root, source);
  const Json loose = base::lenient_ordered_json(json);  // numbers beyond JSON
  if (loose.is_discarded())
    throw base::Error(
        {"a member cannot be read", std::string(variable_), base::shortened(json), base::json_fault(json), ""});
  return value(loose, source);
}

// Its strings are the parser's, for as long as it reads nothing else.
Value ContextBuilder::value(simdjson::dom::element json, const Source* source) {
  using simdjson::dom::element_type;
  Value result;
  switch (json.type()) {
    case element_type::STRING:
      return engine_.copy(json.get_string().value_unsafe(), source);
    case element_type::OBJECT: {
      const simdjson::dom::object object = json.get_object().value_unsafe();
      Dict* dict = engine_.arena.make<Dict>();
      dict->reserve(engine_, object.size());
      for (const auto& [name, member] : object) dict->set(engine_, engine_.copy(name, source), value(member, source));
      return Value::dict_of(dict, source);
    }
    case element_type::ARRAY: {
      const simdjson::dom::array array = json.get_array().value_unsafe();
      // The size of more than 16 million items is not told, but these are beyond the bounds of the memory.
      Value* items = engine_.arena.array<Value>(array.size());
      std::size_t count = 0;
      for (const simdjson::dom::element item : array) items[count++] = value(item, source);
      result = Value::sequence_of(Type::kList, items, count);
      break;
    }
    case element_type::BOOL:
      result = Value::boolean_of(json.get_bool().value_unsafe());
      break;
    case element_type::INT64:
      result = Value::integer_of(json.get_int64().value_unsafe());
      break;
    case element_type::UINT64:
      return value(Json(json.get_uint64().value_unsafe()), source);
    case element_type::DOUBLE:
      result = Value::real_of(json.get_double().value_unsafe());
      break;
    case element_type::NULL_VALUE:
      result = Value::none();
      break;
  }
  result.source = source;
  return result;
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
        return engine_.copy(std::to_string(json.get<std::uint64_t>()), source, kDigits);
      [[fallthrough]];
    case Json::value_t::number_integer:
      result = Value::integer_of(json.get<std::int64_t>());
      break;
    case Json::value_t::number_float:
      result = Value::real_of(json.get<double>());
      break;
    case Json::value_t::binary:  // of lenient_json
      return engine_.copy(std::string(json.get_binary().begin(), json.get_binary().end()), source, kDigits);
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
  if (text.size() <= Arena::kLimit && is_ascii(text)) return;
  if (text.size() > Arena::kLimit) throw base::Error("a text is too long for a chat template", std::string(variable_));
  if (base::find_invalid_utf8(text) != std::string_view::npos)
    throw base::Error("a text is not UTF-8", std::string(variable_));
}

const Source* ContextBuilder::source(std::int32_t message, std::int32_t member) {
  return engine_.arena.make<Source>(Origin{message, member}.tag());
}

std::int32_t ContextBuilder::member(std::string_view name) {
  if (const std::int32_t known = known_member(name); known != Span::kNone) return known;
  for (std::size_t i = std::size(kKnown); i < members_.size(); ++i)
    if (members_[i] == name) return static_cast<std::int32_t>(i);
  check(name);
  // So many that nobody tells them apart: the last number stands for all others.
  if (members_.size() == Origin::kMostMembers) return Origin::kMostMembers - 1;
  members_.emplace_back(name);
  return static_cast<std::int32_t>(members_.size() - 1);
}

}  // namespace tokenizer::jinja
