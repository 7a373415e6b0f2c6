// Values of JSON that need not be strict. Tested by tests/base/json_values_test.cc.
#include "base/json_values.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <nlohmann/json.hpp>
#include <set>

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

template <class Json>
Json parse_lenient(std::string_view text, bool* repeated_keys) {
  if (repeated_keys != nullptr) *repeated_keys = false;
  if (Json value; parse_strict(text, value)) return value;
  std::vector<std::set<std::string>> open;  // the keys of the objects around
  const auto note_keys = [&](int, typename Json::parse_event_t event, const Json& key) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key)
      *repeated_keys |= !open.back().insert(key.template get<std::string>()).second;
    return true;
  };
  const auto parse = [&](std::string_view strict) {
    open.clear();
    return repeated_keys == nullptr ? Json::parse(strict, nullptr, false) : Json::parse(strict, note_keys, false);
  };
  Json value = parse(text);
  if (!value.is_discarded()) return value;
  const std::vector<LooseNumber> numbers = loose_numbers(text);
  if (numbers.empty()) return value;
  std::string strict;
  StandIns().replace(text, numbers, strict);
  return parse(strict);
}

}  // namespace

nlohmann::json lenient_json(std::string_view text, bool* repeated_keys) {
  return parse_lenient<nlohmann::json>(text, repeated_keys);
}

nlohmann::ordered_json lenient_ordered_json(std::string_view text, bool* repeated_keys) {
  return parse_lenient<nlohmann::ordered_json>(text, repeated_keys);
}

std::string repeated_keys_note(std::uint64_t records) {
  return fmt::format("{} record{} had a key twice: the last one counts", human_count(records), records == 1 ? "" : "s");
}

}  // namespace base
