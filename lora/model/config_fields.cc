// Typed access to the keys of a JSON object. Tested by tests/lora/model/config_test.cc.
#include "lora/model/config_fields.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "lora/model/config.h"

namespace lora {

using nlohmann::json;

namespace {

// What says nothing under any key.
bool is_nothing(const json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         ((value.is_structured() || value.is_string()) && (value.empty() || value == ""));
}

}  // namespace

bool Fields::has(const char* key) const { return contains(key) && !object_[key].is_null(); }

bool Fields::contains(const char* key) const {
  use(key);
  return object_.contains(key);
}

const json& Fields::value(const char* key) const { return object_[key]; }

std::int64_t Fields::integer(const char* key, std::int64_t fallback) const {
  if (!has(key)) return fallback;
  if (!value(key).is_number_integer()) wrong(key, "an integer");
  return value(key).get<std::int64_t>();
}

std::int64_t Fields::size(const char* key, std::int64_t fallback) const {
  const std::int64_t number{integer(key, fallback)};
  if (number < 1 || number > kMostSize) wrong(key, "an integer from 1 to 2^31");
  return number;
}

double Fields::number(const char* key, double fallback) const {
  if (!has(key)) return fallback;
  if (!value(key).is_number()) wrong(key, "a number");
  return value(key).get<double>();
}

bool Fields::truth(const char* key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!value(key).is_boolean()) wrong(key, "true or false");
  return value(key).get<bool>();
}

std::string Fields::text(const char* key, const std::string& fallback) const {
  if (!has(key)) return fallback;
  if (!value(key).is_string()) wrong(key, "text");
  return value(key).get<std::string>();
}

json Fields::object(const char* key) const {
  if (!has(key)) return json::object();
  if (!value(key).is_object()) wrong(key, "an object");
  return value(key);
}

std::int64_t Fields::token(const char* key, std::int64_t fallback) const {
  if (!contains(key)) return fallback;
  const json& id = value(key);
  if (id.is_null()) return -1;
  if (id.is_array() && !id.empty() && id[0].is_number_integer()) return id[0].get<std::int64_t>();
  return integer(key, fallback);
}

const json& Fields::list(const char* key, const char* expected) const {
  static const json none = json::array();
  if (!has(key)) return none;
  if (!value(key).is_array()) wrong(key, expected);
  return value(key);
}

std::vector<float> Fields::numbers(const char* key) const {
  constexpr const char* kExpected = "a list of numbers";
  std::vector<float> values;
  for (const json& element : list(key, kExpected)) {
    if (!element.is_number()) wrong(key, kExpected);
    values.push_back(element.get<float>());
  }
  return values;
}

std::vector<std::string> Fields::texts(const char* key) const {
  constexpr const char* kExpected = "a list of words";
  std::vector<std::string> values;
  for (const json& element : list(key, kExpected)) {
    if (!element.is_string()) wrong(key, kExpected);
    values.push_back(element.get<std::string>());
  }
  return values;
}

std::vector<std::int64_t> Fields::integers(const char* key) const {
  constexpr const char* kExpected = "a list of integers";
  std::vector<std::int64_t> values;
  for (const json& element : list(key, kExpected)) {
    if (!element.is_number_integer()) wrong(key, kExpected);
    values.push_back(element.get<std::int64_t>());
  }
  return values;
}

// The object, where the file is not the whole of it: "rope_scaling: ".
std::string Fields::inside() const { return file_.ends_with(name_) ? "" : name_ + ": "; }

void Fields::refuse_others(const std::string& where, const std::set<std::string_view>& harmless) const {
  for (const auto& [key, element] : object_.items())
    if (!used_.contains(key) && !harmless.contains(key) && !is_nothing(element))
      throw base::Error({fmt::format("{}\"{}\" is not a key that is used{}", inside(), base::shortened(key), where),
                         file_, base::shortened(element.dump(-1, ' ', true, json::error_handler_t::replace)), "",
                         "if transformers gives the same answers without it, remove it from " + name_});
}

void Fields::wrong(const char* key, const std::string& expected, const std::string& advice) const {
  const std::string shown =
      object_.contains(key) ? object_[key].dump(-1, ' ', true, json::error_handler_t::replace) : "";
  throw base::Error({fmt::format("{}bad \"{}\"", inside(), key), file_, base::shortened(shown), expected, advice});
}

}  // namespace lora
