// Values of JSON that need not be strict. Tested by tests/base/json_values_test.cc.
#include "base/json_values.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/json_text.h"
#include "base/text.h"

namespace base {
namespace {

using Element = simdjson::dom::element;
using simdjson::dom::element_type;

constexpr std::size_t kLarge = std::size_t{1} << 20;  // a parser that has seen more is not kept

// What nlohmann::json makes of the same text; false where a key stands twice.
template <class Json>
bool take(Element element, Json& value) {
  switch (element.type()) {
    case element_type::OBJECT: {
      value = Json::object();
      for (const auto [key, member] : simdjson::dom::object(element)) {
        const std::size_t before = value.size();
        Json& place = value[std::string(key)];
        if (value.size() == before || !take(member, place)) return false;
      }
      return true;
    }
    case element_type::ARRAY: {
      value = Json::array();
      const simdjson::dom::array array = element;
      value.template get_ref<typename Json::array_t&>().reserve(array.size());
      for (const Element item : array) {
        value.emplace_back();
        if (!take(item, value.back())) return false;
      }
      return true;
    }
    case element_type::STRING:
      value = std::string(std::string_view(element));
      return true;
    case element_type::INT64: {
      const std::int64_t number = element;
      value = number;
      if (number >= 0) value = static_cast<std::uint64_t>(number);
      return true;
    }
    case element_type::UINT64:
      value = std::uint64_t(element);
      return true;
    case element_type::DOUBLE:
      value = double(element);
      return true;
    case element_type::BOOL:
      value = bool(element);
      return true;
    case element_type::NULL_VALUE:
      value = nullptr;
      return true;
  }
  return false;
}

// By simdjson, several times as fast; false where it refuses the text or a key stands twice.
template <class Json>
bool parse_strict(std::string_view text, Json& value) {
  thread_local simdjson::dom::parser parser;
  if (parser.capacity() > kLarge && text.size() < kLarge) parser = simdjson::dom::parser();
  Element element;
  return !text.empty() && !parser.parse(text.data(), text.size()).get(element) && take(element, value);
}

// What Python's json makes of a loose number.
template <class Json>
Json value_of(std::string_view number) {
  if (number == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (number.find_first_of("I.eE") != number.npos) return std::strtod(std::string(number).c_str(), nullptr);
  return Json::binary(std::vector<std::uint8_t>(number.begin(), number.end()));
}

// Loose numbers in the places of their stand-ins.
template <class Json>
void restore(Json& value, const StandIns& stand_ins) {
  if (value.is_structured())
    for (Json& item : value) restore(item, stand_ins);
  if (!value.is_number_integer() || value.is_number_unsigned()) return;
  const std::string_view number = stand_ins.original(value.template get<std::int64_t>());
  if (!number.empty()) value = value_of<Json>(number);
}

template <class Json>
Json parse_lenient(std::string_view text, bool* repeated_keys) {
  if (repeated_keys != nullptr) *repeated_keys = false;
  if (Json value; parse_strict(text, value)) return value;
  std::vector<std::set<std::string>> open;  // the keys of the objects around
  bool too_deep = false;
  const auto look = [&](int depth, typename Json::parse_event_t event, const Json& key) {
    too_deep |= depth > kMostLevels;
    if (too_deep || repeated_keys == nullptr) return !too_deep;
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key)
      *repeated_keys |= !open.back().insert(key.template get<std::string>()).second;
    return true;
  };
  const auto parse = [&](std::string_view strict) {
    open.clear();
    Json value = Json::parse(strict, look, false);
    return too_deep ? Json(Json::value_t::discarded) : value;
  };
  const std::vector<LooseNumber> numbers = loose_numbers(text);
  if (numbers.empty()) return parse(text);
  std::string strict;
  StandIns stand_ins;
  stand_ins.replace(text, numbers, strict);
  Json value = parse(strict);
  restore(value, stand_ins);
  return value;
}

template <class Json>
bool has_loose(const Json& value) {
  if (value.is_structured())
    return std::any_of(value.begin(), value.end(), [](const Json& item) { return has_loose(item); });
  return value.is_binary() || (value.is_number_float() && !std::isfinite(value.template get<double>()));
}

template <class Json>
std::string dumped(const Json& value, int indent = -1) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

template <class Json>
void write_line(const Json& value, std::string& out) {
  if (!has_loose(value)) {
    out += dumped(value);
  } else if (value.is_binary()) {
    out.append(value.get_binary().begin(), value.get_binary().end());
  } else if (value.is_number_float()) {
    const double number = value.template get<double>();
    out += std::isnan(number) ? "NaN" : number < 0 ? "-Infinity" : "Infinity";
  } else {
    out += value.is_array() ? '[' : '{';
    for (auto item = value.begin(); item != value.end(); ++item) {
      if (item != value.begin()) out += ',';
      if (value.is_object()) out += dumped(Json(item.key())) + ':';
      write_line(*item, out);
    }
    out += value.is_array() ? ']' : '}';
  }
}

template <class Json>
std::string line_of(const Json& value) {
  std::string line;
  write_line(value, line);
  return line;
}

}  // namespace

nlohmann::json lenient_json(std::string_view text, bool* repeated_keys) {
  return parse_lenient<nlohmann::json>(text, repeated_keys);
}

std::string json_dump(const nlohmann::json& value, int indent) { return dumped(value, indent); }
std::string json_dump(const nlohmann::ordered_json& value, int indent) { return dumped(value, indent); }

std::string json_line(const nlohmann::json& value) { return line_of(value); }
std::string json_line(const nlohmann::ordered_json& value) { return line_of(value); }

nlohmann::ordered_json lenient_ordered_json(std::string_view text, bool* repeated_keys) {
  return parse_lenient<nlohmann::ordered_json>(text, repeated_keys);
}

std::string repeated_keys_note(std::uint64_t records) {
  return fmt::format("{} record{} had a key twice: the last one counts", human_count(records), records == 1 ? "" : "s");
}

}  // namespace base
