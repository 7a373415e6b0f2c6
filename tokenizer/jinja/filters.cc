// All filters by name, and those of numbers and of any value. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "tokenizer/jinja/format.h"
#include "tokenizer/jinja/unicode.h"

namespace tokenizer::jinja {

namespace {

Value absolute(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "abs", arguments, {});
  if (input.is_undefined()) engine.fail(describe_undefined(input));
  if (!input.is_number()) engine.fail("abs needs a number", type_name(input));
  if (input.is(Type::kFloat)) return Value::real_of(std::abs(input.real));
  return input.as_integer() < 0 ? negate(engine, input) : Value::integer_of(input.as_integer());
}

Value attr(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "attr", arguments, {"name"}, 1);
  if (input.is_undefined()) engine.fail(describe_undefined(input));
  return own_attribute(engine, input, given.string(0));
}

Value default_to(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "default", arguments, {"default_value", "boolean"});
  const bool replaced = input.is_undefined() || (given.truth_of(1) && !truth(input));
  return replaced ? given.value_or(0, Value::string_of("")) : input;
}

// Digits as Python reads them: white space around, single underscores between digits.
std::optional<std::string> plain_digits(std::string_view text) {
  const std::string_view stripped = strip_left(strip_right(text));
  std::string digits;
  for (std::size_t i = 0; i < stripped.size(); ++i) {
    const auto alphanumeric = [&](std::size_t at) {
      return at < stripped.size() && isalnum(static_cast<unsigned char>(stripped[at]));
    };
    if (stripped[i] != '_')
      digits += stripped[i];
    else if (i == 0 || !alphanumeric(i - 1) || !alphanumeric(i + 1))
      return std::nullopt;
  }
  return digits;
}

std::optional<double> parsed_real(std::string_view text) {
  const auto digits = plain_digits(text);
  if (!digits || digits->empty()) return std::nullopt;
  const std::size_t sign = (*digits)[0] == '+' || (*digits)[0] == '-';
  const std::string body = lower_case(std::string_view(*digits).substr(sign));
  const double factor = (*digits)[0] == '-' ? -1 : 1;
  if (body == "inf" || body == "infinity") return factor * HUGE_VAL;
  if (body == "nan") return NAN;
  if (body.empty() || !(isdigit(static_cast<unsigned char>(body[0])) || body[0] == '.')) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value);
  if (end != body.data() + body.size() || error == std::errc::invalid_argument) return std::nullopt;
  return factor * (error == std::errc() ? value : strtod(body.c_str(), nullptr));
}

// int(text, base); nothing when it is none.
std::optional<std::int64_t> parsed_integer(Engine& engine, std::string_view text, std::int64_t base) {
  const auto digits = plain_digits(text);
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view body = *digits;
  const bool negative = body[0] == '-';
  if (body[0] == '+' || negative) body.remove_prefix(1);
  const std::string prefix = lower_case(body.substr(0, 2));
  const std::int64_t marked = prefix == "0x" ? 16 : prefix == "0o" ? 8 : prefix == "0b" ? 2 : 0;
  if (marked && (base == 0 || base == marked)) {
    body.remove_prefix(2);
    base = marked;
  } else if (base == 0) {
    if (body.size() > 1 && body[0] == '0' && body.find_first_not_of('0') != body.npos) return std::nullopt;
    base = 10;
  }
  if (body.empty() || body[0] == '-') return std::nullopt;
  std::int64_t value = 0;
  const std::string whole = (negative ? "-" : "") + std::string(body);
  const auto [end, error] = std::from_chars(whole.data(), whole.data() + whole.size(), value, static_cast<int>(base));
  if (error == std::errc::invalid_argument || end != whole.data() + whole.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) engine.fail("a number leaves the range of 64 bits", whole);
  return value;
}

Value to_float(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "float", arguments, {"default"});
  if (input.is_undefined()) engine.fail(describe_undefined(input));
  if (input.is_number()) return Value::real_of(input.as_real());
  if (input.is_string())
    if (const auto value = parsed_real(input.string())) return Value::real_of(*value);
  return given.value_or(0, Value::real_of(0));
}

Value to_int(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "int", arguments, {"default", "base"});
  if (input.is_undefined()) engine.fail(describe_undefined(input));
  const Value fallback = given.value_or(0, Value::integer_of(0));
  const auto truncated = [&](double real) {
    if (!(std::abs(real) < 0x1p63)) engine.fail("a number leaves the range of 64 bits");
    return Value::integer_of(static_cast<std::int64_t>(real));
  };
  if (input.is_integer()) return Value::integer_of(input.as_integer());
  if (input.is(Type::kFloat)) return std::isnan(input.real) ? fallback : truncated(input.real);
  if (!input.is_string()) return fallback;
  const std::int64_t base = given.integer(1, 10);
  if (base == 0 || (base >= 2 && base <= 36))
    if (const auto value = parsed_integer(engine, input.string(), base)) return Value::integer_of(*value);
  const auto real = parsed_real(input.string());
  return real && std::isfinite(*real) ? truncated(*real) : fallback;
}

double rounded(double value, std::int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision >= 0) return strtod(fmt::format("{:.{}f}", value, precision).c_str(), nullptr);
  if (precision < -330) return std::copysign(0.0, value);
  const long double scale = std::pow(10.0L, static_cast<long double>(-precision));
  return static_cast<double>(std::nearbyint(static_cast<long double>(value) / scale) * scale);
}

Value rounded_integer(Engine& engine, std::int64_t value, std::int64_t precision) {
  if (precision >= 0) return Value::integer_of(value);
  if (precision < -18) return Value::integer_of(0);
  std::int64_t scale = 1;
  for (std::int64_t i = precision; i < 0; ++i) scale *= 10;
  std::int64_t quotient = value / scale, rest = value % scale;
  if (rest < 0) rest += scale, --quotient;
  if (rest * 2 > scale || (rest * 2 == scale && (quotient & 1))) ++quotient;
  return operate(engine, Operator::kMultiply, Value::integer_of(quotient), Value::integer_of(scale));
}

Value round(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "round", arguments, {"precision", "method"});
  const std::string_view method = given.string(1, "common");
  const std::int64_t precision = given.integer(0, 0);
  if (input.is_undefined()) engine.fail(describe_undefined(input));
  if (!input.is_number()) engine.fail("round needs a number", type_name(input));
  if (method == "common")
    return input.is_integer() ? rounded_integer(engine, input.as_integer(), precision)
                              : Value::real_of(rounded(input.real, precision));
  if (method != "ceil" && method != "floor") engine.fail("an unknown method of round", method, "common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision)), scaled = input.as_real() * scale;
  if (!std::isfinite(scaled)) engine.fail("round needs a finite number");
  return Value::real_of((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value file_size(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "filesizeformat", arguments, {"binary"});
  const bool binary = given.truth_of(0);
  std::optional<double> bytes;
  if (input.is_number()) bytes = input.as_real();
  if (input.is_string()) bytes = parsed_real(input.string());
  if (!bytes || !std::isfinite(*bytes)) engine.fail("filesizeformat needs a number", type_name(input));
  const double base = binary ? 1024 : 1000;
  if (*bytes == 1) return Value::string_of("1 Byte");
  if (*bytes < base) return engine.copy(fmt::format("{:.0f} Bytes", std::trunc(*bytes)));
  static constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base * base;
  std::size_t i = 0;
  for (; *bytes >= unit && i + 1 < kPrefixes.size(); ++i) unit *= base;
  const char letter = binary && i == 0 ? 'K' : kPrefixes[i];
  return engine.copy(fmt::format("{:.1f} {}{}", base * *bytes / unit, letter, binary ? "iB" : "B"));
}

template <const char* const& name>
Value refused(Engine& engine, const Value&, const Arguments&) {
  engine.fail("a filter that is not supported in chat templates", name);
}
constexpr const char *kPrettyPrint = "pprint", *kRandom = "random", *kUrlize = "urlize", *kWordwrap = "wordwrap",
                     *kStripTags = "striptags";

constexpr std::array kFilters = {FilterFunction{"abs", absolute},
                                 FilterFunction{"attr", attr},
                                 FilterFunction{"d", default_to},
                                 FilterFunction{"default", default_to},
                                 FilterFunction{"filesizeformat", file_size},
                                 FilterFunction{"float", to_float},
                                 FilterFunction{"int", to_int},
                                 FilterFunction{"round", round},
                                 FilterFunction{"pprint", refused<kPrettyPrint>},
                                 FilterFunction{"random", refused<kRandom>},
                                 FilterFunction{"striptags", refused<kStripTags>},
                                 FilterFunction{"urlize", refused<kUrlize>},
                                 FilterFunction{"wordwrap", refused<kWordwrap>}};

}  // namespace

std::span<const FilterFunction> number_filters() { return kFilters; }

const FilterFunction* find_filter(std::string_view name) {
  for (const auto filters :
       {text_filters(), sequence_filters(), selecting_filters(), number_filters(), markup_filters()})
    for (const FilterFunction& filter : filters)
      if (filter.name == name) return &filter;
  return nullptr;
}

}  // namespace tokenizer::jinja
