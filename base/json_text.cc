// JSON as text, for what a parser does not tell: where a member stands, and numbers that parsers refuse. Tested by
// tests/curate/records/record_test.cc and tests/curate/instruct_test.cc.
#include "base/json_text.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace base {

std::size_t skip_json_space(std::string_view text, std::size_t i) {
  while (i < text.size() && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r')) ++i;
  return i;
}

namespace {

// `i` stands on the opening quote; returns the offset after the closing one.
std::size_t skip_string(std::string_view text, std::size_t i) {
  for (++i; i < text.size(); ++i) {
    i = text.find('"', i);
    if (i == text.npos) return text.size();
    std::size_t slashes = 0;
    while (text[i - 1 - slashes] == '\\') ++slashes;
    if (slashes % 2 == 0) return i + 1;
  }
  return text.size();
}

std::size_t skip_value(std::string_view text, std::size_t i) {
  if (i >= text.size()) return i;
  if (text[i] == '"') return skip_string(text, i);
  if (text[i] != '{' && text[i] != '[') {
    while (i < text.size() && text[i] != ',' && text[i] != '}' && text[i] != ']' && skip_json_space(text, i) == i) ++i;
    return i;
  }
  for (int depth = 0; i < text.size();) {
    i = text.find_first_of("\"{}[]", i);
    if (i == text.npos) return text.size();
    if (text[i] == '"') {
      i = skip_string(text, i);
      continue;
    }
    depth += text[i] == '{' || text[i] == '[' ? 1 : -1;
    ++i;
    if (depth == 0) return i;
  }
  return text.size();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The end of the JSON number that begins at `i`, or `i` where none does.
std::size_t number_end(std::string_view text, std::size_t i) {
  const std::size_t begin = i;
  auto digits = [&] {
    const std::size_t from = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i > from;
  };
  if (i < text.size() && text[i] == '-') ++i;
  if (i < text.size() && text[i] == '0') {
    ++i;
  } else if (!digits()) {
    return begin;
  }
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!digits()) return begin;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (!digits()) return begin;
  }
  return i;
}

// Does a parser of 64 bits refuse this JSON number?
bool is_beyond(std::string_view number) {
  constexpr std::size_t kDigits = 19;  // all of so few fit
  std::from_chars_result result;
  if (number.find_first_of(".eE") == number.npos) {
    if (number.size() <= kDigits) return false;
    std::int64_t negative = 0;
    std::uint64_t positive = 0;
    result = number[0] == '-' ? std::from_chars(number.data(), number.data() + number.size(), negative)
                              : std::from_chars(number.data(), number.data() + number.size(), positive);
  } else {
    double value = 0;
    result = std::from_chars(number.data(), number.data() + number.size(), value);
  }
  return result.ec == std::errc::result_out_of_range;
}

}  // namespace

void for_each_member(std::string_view object,
                     const std::function<bool(std::string_view, std::string_view, std::size_t, std::size_t)>& f) {
  std::size_t i = skip_json_space(object, 0);
  if (i >= object.size() || object[i] != '{') return;
  i = skip_json_space(object, i + 1);
  while (i < object.size() && object[i] == '"') {
    std::size_t begin = i, key_end = skip_string(object, i);
    i = skip_json_space(object, key_end);  // ':'
    i = skip_json_space(object, i + 1);    // the value
    std::size_t value = i;
    i = skip_value(object, i);
    if (i > object.size()) return;
    if (!f(object.substr(begin + 1, key_end - begin - 2), object.substr(value, i - value), begin, i)) return;
    i = skip_json_space(object, i);
    if (i >= object.size() || object[i] != ',') return;
    i = skip_json_space(object, i + 1);
  }
}

void for_each_element(std::string_view array, const std::function<void(std::string_view)>& f) {
  std::size_t i = skip_json_space(array, 0);
  if (i >= array.size() || array[i] != '[') return;
  i = skip_json_space(array, i + 1);
  while (i < array.size() && array[i] != ']') {
    const std::size_t end = skip_value(array, i);
    f(array.substr(i, end - i));
    i = skip_json_space(array, end);
    if (i >= array.size() || array[i] != ',') return;
    i = skip_json_space(array, i + 1);
  }
}

bool is_key(std::string_view written, std::string_view name) {
  if (written == name) return true;
  if (written.find('\\') == written.npos) return false;
  auto decoded = nlohmann::json::parse("\"" + std::string(written) + "\"", nullptr, false);
  return decoded.is_string() && decoded.get_ref<const std::string&>() == name;
}

std::string_view find_member(std::string_view object, std::string_view field) {
  std::string_view found;
  auto look = [&](std::string_view name) {
    found = {};
    for_each_member(object, [&](std::string_view key, std::string_view value, std::size_t, std::size_t) {
      if (is_key(key, name)) found = value;
      return found.data() == nullptr;
    });
    return found.data() != nullptr;
  };
  if (look(field)) return found;
  for (std::size_t dot = field.rfind('.'); dot != field.npos && dot > 0; dot = field.rfind('.', dot - 1)) {
    if (!look(field.substr(0, dot))) continue;
    if (std::string_view inner = find_member(found, field.substr(dot + 1)); inner.data() != nullptr) return inner;
  }
  return {};
}

namespace {

// Calls f(begin, end) for what a line holds outside of strings, names and numbers: every token that may be one.
template <class F>
void for_each_number(std::string_view line, F&& f) {
  for (std::size_t i = 0; i < line.size();) {
    const char c = line[i];
    if (c == '"') {
      i = skip_string(line, i);
    } else if (c == '-' || c == 'N' || c == 'I' || is_digit(c)) {
      const std::size_t end = std::max(skip_value(line, i), i + 1);
      f(i, end);
      i = end;
    } else {
      ++i;
    }
  }
}

// Stand-ins are negative integers of 19 digits: a prefix of 7, which no such integer of the line has, and 12 of a
// number.
constexpr std::int64_t kStandIns = 1000000000000, kLowestPrefix = 1000000, kHighestPrefix = 9223371;
constexpr std::size_t kStandInSize = 20;

std::int64_t unused_prefix(std::string_view line) {
  std::vector<bool> used;
  for_each_number(line, [&](std::size_t begin, std::size_t end) {
    std::int64_t number = 0;
    if (end - begin != kStandInSize) return;
    const auto read = std::from_chars(line.data() + begin, line.data() + end, number);
    if (read.ec != std::errc() || read.ptr != line.data() + end || number >= 0) return;
    used.resize(static_cast<std::size_t>(kHighestPrefix) + 2);
    used[static_cast<std::size_t>(-(number / kStandIns))] = true;
  });
  std::int64_t prefix = kHighestPrefix;
  if (!used.empty())
    while (prefix >= kLowestPrefix && used[static_cast<std::size_t>(prefix)]) --prefix;
  return prefix;
}

// NaN, Infinity, and the JSON numbers of which `is_one` is true.
template <class F>
std::vector<LooseNumber> numbers_that(std::string_view line, F&& is_one) {
  std::vector<LooseNumber> numbers;
  for_each_number(line, [&](std::size_t begin, std::size_t end) {
    const std::string_view token = line.substr(begin, end - begin);
    if (token == "NaN" || token == "Infinity" || token == "-Infinity") {
      numbers.push_back({begin, end, false});
    } else if (number_end(token, 0) == token.size() && is_one(token)) {
      numbers.push_back({begin, end, true});
    }
  });
  return numbers;
}

// Does nlohmann::json write another text for this JSON number? 0.00 may become 0.0: readers ask for zero.
bool is_rewritten(std::string_view number) {
  if (is_beyond(number)) return true;
  if (number.find_first_of(".eE") == number.npos) return false;
  double value = 0;
  std::from_chars(number.data(), number.data() + number.size(), value);
  return value != 0 && nlohmann::json(value).dump() != number;
}

}  // namespace

std::vector<LooseNumber> loose_numbers(std::string_view line) { return numbers_that(line, is_beyond); }

std::vector<LooseNumber> rewritten_numbers(std::string_view line) { return numbers_that(line, is_rewritten); }

void StandIns::replace(std::string_view line, const std::vector<LooseNumber>& numbers, std::string& strict) {
  originals_.clear();
  strict.clear();
  std::size_t copied = 0;
  prefix_ = unused_prefix(line);
  if (prefix_ < kLowestPrefix) {  // all are in use: then it stays a line that parsers refuse
    strict = line;
    return;
  }
  for (const LooseNumber& number : numbers) {
    strict.append(line, copied, number.begin - copied);
    strict += std::to_string(-prefix_ * kStandIns - static_cast<std::int64_t>(originals_.size()));
    originals_.emplace_back(line.substr(number.begin, number.end - number.begin));
    copied = number.end;
  }
  strict.append(line, copied);
}

std::string_view StandIns::original(std::int64_t number) const {
  if (originals_.empty() || number / kStandIns != -prefix_) return {};
  const auto index = static_cast<std::size_t>(-(number % kStandIns));
  return index < originals_.size() ? std::string_view(originals_[index]) : std::string_view{};
}

std::string StandIns::restored(std::string_view json) const {
  std::string result;
  std::size_t copied = 0;
  for_each_number(json, [&](std::size_t begin, std::size_t end) {
    std::int64_t number = 0;
    const auto read = std::from_chars(json.data() + begin, json.data() + end, number);
    if (read.ec != std::errc() || read.ptr != json.data() + end) return;
    const std::string_view text = original(number);
    if (text.empty()) return;
    result.append(json, copied, begin - copied);
    result += text;
    copied = end;
  });
  return result.append(json, copied);
}

}  // namespace base
