// One JSON record, parsed by simdjson: what it means and the bytes to deliver are the same value. Tested by
// tests/curate/records/record_test.cc.
#include "base/json_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/encoding.h"
#include "base/json_text.h"
#include "base/json_values.h"

namespace base {
namespace {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;
using simdjson::dom::element_type;

bool has_repeats(Element value);

// Most objects have a few keys: these are compared with each other as they come.
bool has_repeats(Object object) {
  constexpr std::size_t kFew = 24;
  std::array<std::string_view, kFew> keys;
  std::size_t count = 0;
  for (auto [key, value] : object) {
    if (count < kFew) {
      for (std::size_t i = 0; i < count; ++i)
        if (keys[i] == key) return true;
      keys[count] = key;
    }
    ++count;
    if (has_repeats(value)) return true;
  }
  if (count <= kFew) return false;
  std::vector<std::string_view> all;
  all.reserve(count);
  for (auto [key, value] : object) all.push_back(key);
  std::sort(all.begin(), all.end());
  return std::adjacent_find(all.begin(), all.end()) != all.end();
}

bool has_repeats(Element value) {
  if (value.type() == element_type::OBJECT) return has_repeats(Object(value));
  if (value.type() != element_type::ARRAY) return false;
  for (Element item : simdjson::dom::array(value))
    if (has_repeats(item)) return true;
  return false;
}

using Ranges = std::vector<std::pair<std::size_t, std::size_t>>;

// Where `text`, which is `value` and lies in `whole`, has members that a later one of the same key replaces: each
// reaches to the next member.
void find_repeats(std::string_view text, Element value, std::string_view whole, Ranges& ranges);

void find_repeats(std::string_view text, Object object, std::string_view whole, Ranges& ranges) {
  std::unordered_map<std::string_view, std::size_t> last;
  std::size_t count = 0;
  for (auto [key, member] : object) last[key] = count++;
  const auto offset = static_cast<std::size_t>(text.data() - whole.data());
  auto field = object.begin();
  std::size_t number = 0, open = whole.npos;  // open: where the last member to go begins
  for_each_member(text, [&](std::string_view, std::string_view part, std::size_t begin, std::size_t) {
    if (open != whole.npos) ranges.emplace_back(open, offset + begin);
    open = whole.npos;
    if (last.at(field.key()) == number) {
      find_repeats(part, field.value(), whole, ranges);
    } else {
      open = offset + begin;
    }
    ++field, ++number;
    return true;
  });
}

void find_repeats(std::string_view text, Element value, std::string_view whole, Ranges& ranges) {
  if (value.type() == element_type::OBJECT) return find_repeats(text, Object(value), whole, ranges);
  if (value.type() != element_type::ARRAY) return;
  simdjson::dom::array array = value;
  auto item = array.begin();
  for_each_element(text, [&](std::string_view part) {
    find_repeats(part, *item, whole, ranges);
    ++item;
  });
}

}  // namespace

std::string JsonRecord::parse(std::string_view line, std::size_t readable) {
  line_ = line;
  repeated_keys_ = non_finite_ = false;
  stand_ins_.clear();
  std::string error = read(line, readable);
  if (!error.empty()) error = read_loosely(std::move(error));
  if (error.empty() && has_repeats(object_)) error = take_out_repeats();
  return error;
}

std::string JsonRecord::read(std::string_view line, std::size_t readable) {
  constexpr std::size_t kLarge = 32 << 20;
  if (parser_.capacity() > kLarge && line.size() < kLarge) parser_ = simdjson::dom::parser();
  if (parser_.capacity() == 0) {
    constexpr std::size_t kSmall = 1 << 12;
    if (auto error = parser_.allocate(kSmall, kMostLevels + 1)) return simdjson::error_message(error);
  }
  if (readable < simdjson::SIMDJSON_PADDING) {
    padded_.assign(line);
    padded_.append(simdjson::SIMDJSON_PADDING, ' ');
    line = std::string_view(padded_).substr(0, line.size());
  }
  Element element;
  if (auto error = parser_.parse(line.data(), line.size(), false).get(element)) {
    if (error == simdjson::UTF8_ERROR) return std::string("not a JSON record: not valid UTF-8") + kNameEncoding;
    return fmt::format("not a JSON record: {}", simdjson::error_message(error));
  }
  return element.get(object_) ? "not a JSON object" : "";
}

std::string JsonRecord::read_loosely(std::string error) {
  std::vector<LooseNumber> numbers = loose_numbers(line_);
  if (numbers.empty()) return error;
  non_finite_ = std::any_of(numbers.begin(), numbers.end(), [](const LooseNumber& one) { return !one.finite; });
  if (non_finite_ && nan_is_null_) {
    std::string own;
    std::size_t copied = 0;
    for (const LooseNumber& number : numbers) {
      if (number.finite) continue;
      own.append(line_, copied, number.begin - copied).append("null");
      copied = number.end;
    }
    own.append(line_, copied);
    own_ = std::move(own);
    line_ = own_;
    numbers = loose_numbers(line_);
  }
  stand_ins_.replace(line_, numbers, strict_);
  return read(strict_, 0).empty() ? "" : error;
}

std::string JsonRecord::take_out_repeats() {
  const bool non_finite = non_finite_;
  Ranges ranges;
  find_repeats(line_, object_, line_, ranges);
  std::string rest;
  std::size_t copied = 0;
  for (const auto& [begin, end] : ranges) {
    rest.append(line_, copied, begin - copied);
    copied = end;
  }
  rest.append(line_, copied);
  own_ = std::move(rest);
  std::string error = parse(own_, 0);
  repeated_keys_ = true;
  non_finite_ |= non_finite;
  return error;
}

std::string_view JsonRecord::scalar(std::string_view field, std::string& scratch) const {
  Element element;
  if (!find(field, element) || element.is_null() || element.is_array() || element.is_object()) return {};
  if (element.is_string()) return element.get_string().value_unsafe();
  if (element.is_int64()) {
    scratch = stand_ins_.original(element.get_int64().value_unsafe());
    if (!scratch.empty()) return scratch;
  }
  // Of 1.50, 1e5 and -0 no parsed number tells how they were written.
  if (element.is_double() || (element.is_int64() && element.get_int64().value_unsafe() == 0))
    return find_member(line_, field);
  scratch = simdjson::minify(element);
  return scratch;
}

}  // namespace base
