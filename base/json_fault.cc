// Why a text is no JSON, in words for people. Tested by tests/base/json_fault_test.cc.
#include "base/json_fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/json_values.h"
#include "base/text.h"
#include "base/unicode.h"

namespace base {
namespace {

// Notes where and why the parser stops; all else goes by.
struct FaultFinder : nlohmann::json_sax<nlohmann::json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(std::int64_t) override { return true; }
  bool number_unsigned(std::uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(nlohmann::json::binary_t&) override { return true; }
  bool start_object(std::size_t) override { return open(); }
  bool key(std::string&) override { return true; }
  bool end_object() override { return --depth >= 0; }
  bool start_array(std::size_t) override { return open(); }
  bool end_array() override { return --depth >= 0; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    place = position;
    words = error.what();
    return false;
  }

  bool open() { return ++depth <= kMostLevels; }

  std::size_t place = 0;  // of the byte that it stopped at, from 1
  std::string words;
  int depth = 0;
};

// "[json.exception...] parse error at line 1, column 5: syntax error while parsing value - invalid literal; last read:
// 'x'" -> "invalid literal".
std::string reason_in(std::string words) {
  if (const std::size_t end = words.find("; "); end != std::string::npos) words.resize(end);
  for (const std::string_view before : {"] ", ": ", " - "})
    if (const std::size_t found = words.find(before); found != std::string::npos) words.erase(0, found + before.size());
  return words;
}

}  // namespace

std::string json_fault(std::string_view text) {
  // Loose numbers are no fault (lenient_json): others of their length stand for them.
  std::string strict(text);
  for (const LooseNumber& number : loose_numbers(text)) {
    strict.replace(number.begin, number.end - number.begin, number.end - number.begin, ' ');
    strict[number.begin] = '0';
  }
  FaultFinder finder;
  if (nlohmann::json::sax_parse(strict, &finder)) {  // then they are, for a reader who takes none
    finder.depth = 0;
    if (nlohmann::json::sax_parse(text, &finder)) return "";
  }
  if (finder.depth > kMostLevels) return fmt::format("more than {} lists and objects in each other", kMostLevels);
  const std::string_view before = text.substr(0, std::min(text.size(), std::max<std::size_t>(finder.place, 1) - 1));
  const auto line = 1 + std::ranges::count(before, '\n');
  const std::size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  std::string reason = reason_in(finder.words);
  return line == 1 ? fmt::format("{} (column {})", reason, column)
                   : fmt::format("{} (line {}, column {})", reason, line, column);
}

Error no_json_object(std::string_view text, const std::string& file, const std::string& advice) {
  const std::string fault = json_fault(text);
  if (fault.empty()) return Error({"not a JSON object", file, shortened(valid_utf8(text)), "{...}", advice});
  return Error({"not valid JSON", file, fault, "", advice});
}

}  // namespace base
