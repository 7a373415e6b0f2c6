// How many records of an input may be refused before a command gives up. Tested by tests/base/input_tally_test.cc.
#include "base/tolerance.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "base/text.h"

namespace base {

bool Tolerance::is_exceeded(std::uint64_t refused, std::uint64_t read, bool at_end) const {
  if (percent < 0) return refused > records;
  return (at_end || read >= kFirstJudged) && static_cast<double>(refused) * 100 > static_cast<double>(read) * percent;
}

std::string Tolerance::text() const { return percent < 0 ? fmt::format("{}", records) : fmt::format("{}%", percent); }

Tolerance Tolerance::parse(const std::string& text) {
  const bool is_share = text.ends_with('%');
  std::string_view digits = text;
  digits.remove_suffix(is_share ? 1 : 0);
  digits = trim(digits);
  const char* const end = digits.data() + digits.size();
  Tolerance tolerance;
  auto read = [&](auto& number) {
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    return error == std::errc() && stop == end;
  };
  if (is_share ? !read(tolerance.percent) || !(tolerance.percent >= 0 && tolerance.percent <= 100)
               : !read(tolerance.records))
    throw UsageError(
        {"not a valid value", "", shortened(text), "a number of records (100) or a share of them (1%)", ""});
  return tolerance;
}

}  // namespace base
