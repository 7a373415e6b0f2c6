// The moment that a record's date means. Tested by tests/curate/dedup/dates_test.cc.
#include "curate/dedup/dates.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>

#include "base/text.h"

namespace curate {
namespace {

constexpr std::int64_t kSecond = 1'000'000;  // microseconds

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

// Takes pieces off the front of a text.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}
  bool at_end() const { return rest_.empty(); }
  char next() const { return rest_.empty() ? '\0' : rest_[0]; }
  bool take(char c) {
    if (next() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void skip_spaces() {
    while (next() == ' ' || next() == '\t') rest_.remove_prefix(1);
  }
  // All digits that follow, if they are `least` to `most`.
  bool digits(std::size_t least, std::size_t most, int& number) {
    const auto count = static_cast<std::size_t>(std::ranges::find_if_not(rest_, is_digit) - rest_.begin());
    return count >= least && count <= most && exact_digits(count, number);
  }
  // The first `count` of the digits that follow.
  bool exact_digits(std::size_t count, int& number) {
    if (rest_.size() < count || !std::ranges::all_of(rest_.substr(0, count), is_digit)) return false;
    std::from_chars(rest_.data(), rest_.data() + count, number);
    rest_.remove_prefix(count);
    return true;
  }
  std::size_t digit_count() const {
    return static_cast<std::size_t>(std::ranges::find_if_not(rest_, is_digit) - rest_.begin());
  }
  std::string word() {
    std::string word;
    for (; is_letter(next()); rest_.remove_prefix(1))
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(next())));
    return word;
  }

 private:
  std::string_view rest_;
};

struct Moment {
  int year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0;
  std::int64_t fraction = 0;  // microseconds
  int offset = 0;             // minutes east of UTC
};

std::optional<std::int64_t> since_1970(const Moment& m) {
  using namespace std::chrono;
  const year_month_day date{year{m.year}, month{static_cast<unsigned>(m.month)}, day{static_cast<unsigned>(m.day)}};
  if (!date.ok() || m.hour > 24 || m.minute > 59 || m.second > 60) return std::nullopt;  // 60: a leap second
  if (m.hour == 24 && (m.minute > 0 || m.second > 0)) return std::nullopt;
  const std::int64_t days = sys_days{date}.time_since_epoch().count();
  const std::int64_t minutes = (days * 24 + m.hour) * 60 + m.minute - m.offset;
  return (minutes * 60 + m.second) * kSecond + m.fraction;
}

bool take_fraction(Cursor& in, std::int64_t& fraction) {
  if (in.next() != '.' && in.next() != ',') return true;
  in.take(in.next());
  std::int64_t unit = kSecond;
  if (!is_digit(in.next())) return false;
  for (int digit = 0; in.exact_digits(1, digit);) fraction += digit * (unit /= 10);
  return true;
}

// hh:mm, hh:mm:ss, hhmm or hhmmss, and a fraction of the second.
bool take_time(Cursor& in, Moment& m) {
  const bool compact = in.digit_count() == 4 || in.digit_count() == 6;
  if (compact) {
    const bool seconds = in.digit_count() == 6;
    if (!in.exact_digits(2, m.hour) || !in.exact_digits(2, m.minute)) return false;
    if (!seconds) return true;
    return in.exact_digits(2, m.second) && take_fraction(in, m.fraction);
  }
  if (!in.digits(1, 2, m.hour) || !in.take(':') || !in.digits(2, 2, m.minute)) return false;
  if (!in.take(':')) return true;
  return in.digits(2, 2, m.second) && take_fraction(in, m.fraction);
}

// Z, UTC, EST, +02:00, +0200, +02, or nothing; then the end.
bool take_zone(Cursor& in, Moment& m) {
  static constexpr std::array<std::pair<std::string_view, int>, 12> kZones = {{{"z", 0},
                                                                               {"utc", 0},
                                                                               {"ut", 0},
                                                                               {"gmt", 0},
                                                                               {"est", -5},
                                                                               {"edt", -4},
                                                                               {"cst", -6},
                                                                               {"cdt", -5},
                                                                               {"mst", -7},
                                                                               {"mdt", -6},
                                                                               {"pst", -8},
                                                                               {"pdt", -7}}};
  in.skip_spaces();
  if (is_letter(in.next())) {
    const std::string name = in.word();
    const auto zone = std::ranges::find(kZones, name, [](const auto& one) { return one.first; });
    if (zone == kZones.end()) return false;
    m.offset = zone->second * 60;
  } else if (in.next() == '+' || in.next() == '-') {
    const int sign = in.next() == '-' ? -1 : 1;
    in.take(in.next());
    int hours = 0, minutes = 0;
    if (!in.exact_digits(2, hours)) return false;
    if ((in.take(':') || is_digit(in.next())) && !in.digits(2, 2, minutes)) return false;
    if (hours > 23 || minutes > 59) return false;
    m.offset = sign * (hours * 60 + minutes);
  }
  in.skip_spaces();
  if (in.take('(')) {  // a comment, as mails have it
    in.word();
    if (!in.take(')')) return false;
  }
  return in.at_end();
}

std::optional<std::int64_t> iso_date(std::string_view text) {
  Cursor in(text);
  Moment m;
  if (in.digit_count() == 8) {
    in.exact_digits(4, m.year), in.exact_digits(2, m.month), in.exact_digits(2, m.day);
  } else {
    if (!in.digits(4, 4, m.year)) return std::nullopt;
    if (in.at_end()) return since_1970(m);
    const char between = in.next();
    if (between != '-' && between != '/') return std::nullopt;
    in.take(between);
    if (!in.digits(1, 2, m.month)) return std::nullopt;
    if (in.at_end()) return since_1970(m);
    if (!in.take(between) || !in.digits(1, 2, m.day)) return std::nullopt;
  }
  if (in.at_end()) return since_1970(m);
  if (in.take('T') || in.take('t') || in.next() == ' ') {
    in.skip_spaces();
    if (!take_time(in, m)) return std::nullopt;
  }
  return take_zone(in, m) ? since_1970(m) : std::nullopt;
}

// Jan, January; 0 for no month.
int month_of(std::string_view word) {
  static constexpr std::array<std::string_view, 12> kMonths = {"january",   "february", "march",    "april",
                                                               "may",       "june",     "july",     "august",
                                                               "september", "october",  "november", "december"};
  for (std::size_t i = 0; i < kMonths.size(); ++i)
    if (word.size() >= 3 && (kMonths[i].starts_with(word) || (word == "sept" && i == 8)))
      return static_cast<int>(i) + 1;
  return 0;
}

// With the month as a word.
std::optional<std::int64_t> worded_date(std::string_view text) {
  static constexpr std::array<std::string_view, 7> kDays = {"monday", "tuesday",  "wednesday", "thursday",
                                                            "friday", "saturday", "sunday"};
  Cursor in(text);
  Moment m;
  std::string word = in.word();
  const auto is_day = [&](std::string_view day) { return word.size() >= 3 && day.starts_with(word); };
  if (std::ranges::any_of(kDays, is_day)) {
    in.take(',');
    in.skip_spaces();
    word = in.word();
  }
  const bool month_first = !word.empty();
  if (month_first) {
    m.month = month_of(word);
    in.take('.');
    in.skip_spaces();
  }
  if (!in.digits(1, 2, m.day)) return std::nullopt;
  in.skip_spaces();
  if (!month_first) {
    in.take('-');
    m.month = month_of(in.word());
    in.take('.');
    in.take('-');
  }
  in.take(',');
  in.skip_spaces();
  if (m.month == 0 || !in.digits(4, 4, m.year)) return std::nullopt;
  in.take(',');
  in.skip_spaces();
  if (is_digit(in.next()) && !take_time(in, m)) return std::nullopt;
  return take_zone(in, m) ? since_1970(m) : std::nullopt;
}

// A text that is one number.
std::optional<std::int64_t> numbered_date(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  std::string_view digits = text;  // a year may have come as 2024.0
  if (const std::size_t point = text.find('.');
      point != text.npos && text.find_first_not_of('0', point + 1) == text.npos)
    digits = text.substr(0, point);
  if (std::ranges::all_of(digits, is_digit)) {
    if (digits.size() == 4) return iso_date(digits);
    std::optional<std::int64_t> date;
    if (digits.size() == 8) date = iso_date(digits);
    if (digits.size() == 14) date = iso_date(std::string(digits.substr(0, 8)) + "T" + std::string(digits.substr(8)));
    if (date) return date;
  }
  constexpr double kMost = 1e11;  // seconds: the year 5138
  while (std::abs(number) > kMost) number /= 1000;
  return std::llround(number * static_cast<double>(kSecond));
}

}  // namespace

std::optional<std::int64_t> parse_date(std::string_view text) {
  text = base::trim(text);
  if (text.empty()) return std::nullopt;
  if (const auto date = numbered_date(text)) return date;
  if (const auto date = iso_date(text)) return date;
  return worded_date(text);
}

}  // namespace curate
