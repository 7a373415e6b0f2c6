// Formatting values into text: "%s" % x and "{}".format(x). Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/unicode.h"
#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

namespace {

constexpr std::int64_t kWidest = 1 << 20;

std::string with_commas(const std::string& digits, char separator, std::size_t group) {
  std::string result;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % group == 0) result += separator;
    result += digits[i];
  }
  return result;
}

std::string grouped(const std::string& number, char separator, std::size_t group) {
  const std::size_t end = std::min(number.find_first_of(".e%"), number.size());
  return with_commas(number.substr(0, end), separator, group) + number.substr(end);
}

std::string printed(const char* format, int precision, double value) {
  std::string text(static_cast<std::size_t>(std::snprintf(nullptr, 0, format, precision, value)), '\0');
  std::snprintf(text.data(), text.size() + 1, format, precision, value);
  return text;
}

}  // namespace

std::string real_digits(Engine& engine, double value, const FormatSpec& spec) {
  if (spec.precision > 10'000) engine.fail("a number has too many digits", std::to_string(spec.precision));
  const double magnitude = std::abs(value);
  const auto precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  const bool upper = spec.type == 'E' || spec.type == 'F' || spec.type == 'G';
  if (!std::isfinite(value)) {
    const char* word = std::isnan(value) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
    return spec.type == '%' ? std::string(word) + "%" : word;
  }
  switch (spec.type) {
    case 'e':
      return printed(spec.alternate ? "%#.*e" : "%.*e", precision, magnitude);
    case 'E':
      return printed(spec.alternate ? "%#.*E" : "%.*E", precision, magnitude);
    case 'f':
    case 'F':
      return printed(spec.alternate ? "%#.*f" : "%.*f", precision, magnitude);
    case '%':
      return printed("%.*f", precision, magnitude * 100) + "%";
    case 'G':
      return printed(spec.alternate ? "%#.*G" : "%.*G", precision, magnitude);
    case 'g':
    case 'n':
      return printed(spec.alternate ? "%#.*g" : "%.*g", precision, magnitude);
    default:
      break;
  }
  if (spec.precision < 0) return float_repr(magnitude);
  std::string text = printed("%.*g", std::max(precision, 1), magnitude);
  // A float keeps looking like one.
  if (text.find_first_of(".e") == text.npos) {
    if (static_cast<int>(text.size()) > precision - 1 && precision > 0 &&
        text.size() >= static_cast<std::size_t>(precision))
      return printed("%.*e", std::max(precision - 1, 0), magnitude);
    text += ".0";
  }
  return text;
}

std::string integer_digits(std::int64_t value, const FormatSpec& spec) {
  const auto magnitude = value < 0 ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
  switch (spec.type) {
    case 'x':
      return fmt::format("{:x}", magnitude);
    case 'X':
      return fmt::format("{:X}", magnitude);
    case 'o':
      return fmt::format("{:o}", magnitude);
    case 'b':
      return fmt::format("{:b}", magnitude);
    default:
      return std::to_string(magnitude);
  }
}

void append_padded(TextBuilder& text, const Value& content, const FormatSpec& spec, char usual_side) {
  const char side = spec.align ? spec.align : usual_side;
  const std::int64_t missing = std::max<std::int64_t>(0, spec.width - length(content));
  if (missing > kWidest) text.engine().fail("a text is padded too wide", std::to_string(spec.width));
  text.engine().charge(static_cast<std::uint64_t>(missing) / 8);
  std::string fill;
  base::append_utf8(fill, spec.fill);
  const auto add = [&](std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) text.append(fill);
  };
  const std::int64_t before = side == '<' ? 0 : side == '^' ? missing / 2 : missing;
  add(before);
  text.append(content);
  add(missing - before);
}

void append_number(TextBuilder& text, bool negative, std::string digits, std::string_view prefix,
                   const FormatSpec& spec, const Source* source) {
  std::string sign = negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
  sign += prefix;
  const bool decimal = spec.type != 'x' && spec.type != 'X' && spec.type != 'o' && spec.type != 'b';
  if (spec.grouping) digits = grouped(digits, spec.grouping, decimal ? 3 : 4);
  if (spec.width > kWidest) text.engine().fail("a number is padded too wide", std::to_string(spec.width));
  const auto size = static_cast<std::int64_t>(sign.size() + digits.size());
  if (spec.align == '=' && size < spec.width) {
    std::string fill;
    base::append_utf8(fill, spec.fill);
    text.append(sign, source);
    for (std::int64_t i = size; i < spec.width; ++i) text.append(fill, source);
    return text.append(digits, source);
  }
  const std::string whole = sign + digits;
  append_padded(text, Value::string_of(text.engine().copy(whole).string(), source), spec, '>');
}

std::string_view base_prefix(char type) {
  switch (type) {
    case 'x':
      return "0x";
    case 'X':
      return "0X";
    case 'o':
      return "0o";
    case 'b':
      return "0b";
    default:
      return "";
  }
}

std::string ascii_repr(Engine& engine, const Value& value) {
  TextBuilder text(engine);
  append_repr(text, value);
  std::string result;
  const std::string_view all = text.view();
  for (std::size_t at = 0; at < all.size();) {
    const auto c = static_cast<std::uint32_t>(base::next_code_point(all, at));
    if (c < 0x80)
      result += static_cast<char>(c);
    else
      result += c < 0x100     ? fmt::format("\\x{:02x}", c)
                : c < 0x10000 ? fmt::format("\\u{:04x}", c)
                              : fmt::format("\\U{:08x}", c);
  }
  return result;
}

namespace {

// "%(name)-5.2f"
class PercentFormat {
 public:
  PercentFormat(Engine& engine, const Value& format, const Value& arguments)
      : engine_(engine), format_(format), text_(format.string()), arguments_(arguments), result_(engine, text_.size()) {
    several_ = arguments.is(Type::kTuple);
    // As CPython: whatever can be subscripted may hold more than is asked for.
    mapping_ = arguments.is(Type::kDict) || arguments.is(Type::kList) || arguments.is(Type::kRange) ||
               arguments.is_undefined();
  }

  Value run() {
    while (at_ < text_.size()) {
      const std::size_t mark = std::min(text_.find('%', at_), text_.size());
      result_.append(text_.substr(at_, mark - at_), format_.source);
      at_ = mark;
      if (at_ == text_.size()) break;
      ++at_;
      engine_.charge();
      read();
    }
    if (!mapping_ && used_ < (several_ ? arguments_.size : 1))
      engine_.fail("not all values have a place in the format", text_);
    return result_.finish(format_.detail);
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  char take() {
    if (at_ == text_.size()) engine_.fail("a format is not complete", text_);
    return text_[at_++];
  }

  const Value& next() {
    if (named_) return *named_;
    if (!several_ && used_ == 0) {
      ++used_;
      return arguments_;
    }
    if (!several_ || used_ >= arguments_.size) engine_.fail("too few values for the format", text_);
    return arguments_.items[used_++];
  }

  std::int64_t read_count() {
    if (peek() == '*') {
      ++at_;
      const Value& value = next();
      if (!value.is_integer()) engine_.fail("* in a format needs an integer", type_name(value));
      return value.as_integer();
    }
    std::int64_t count = 0;
    while (peek() >= '0' && peek() <= '9' && count < kWidest * 10) count = count * 10 + (take() - '0');
    return count;
  }

  void read_name() {
    const std::size_t begin = ++at_;
    for (int depth = 1; depth > 0;) {
      const char c = take();
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    }
    if (!arguments_.is(Type::kDict)) engine_.fail("a format with names needs a dict", type_name(arguments_));
    const std::string_view name = text_.substr(begin, at_ - begin - 1);
    named_ = arguments_.dict->find(name);
    if (!named_) engine_.fail("the dict lacks a key of the format", name);
  }

  void read() {
    named_ = nullptr;
    FormatSpec spec;
    if (peek() == '(') read_name();
    bool left = false, zero = false;
    for (; std::string_view("-+ #0").find(peek()) != std::string_view::npos && at_ < text_.size(); ++at_) {
      left |= peek() == '-';
      zero |= peek() == '0';
      spec.alternate |= peek() == '#';
      if (peek() == '+' || (peek() == ' ' && spec.sign != '+')) spec.sign = peek();
    }
    spec.width = read_count();
    if (spec.width < 0) left = true, spec.width = -spec.width;
    if (peek() == '.') {
      ++at_;
      spec.precision = std::max<std::int64_t>(0, read_count());
    }
    while (peek() == 'h' || peek() == 'l' || peek() == 'L') ++at_;
    spec.type = take();
    if (left) spec.align = '<';
    if (zero && !left) spec.align = '=', spec.fill = '0';
    write(spec);
  }

  void write(FormatSpec spec) {
    switch (spec.type) {
      case '%':
        return result_.append('%', format_.source);
      case 's':
      case 'r':
      case 'a':
        return write_text(spec);
      case 'c':
        return write_character(spec);
      case 'd':
      case 'i':
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        return write_integer(spec);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return write_real(spec);
      default:
        engine_.fail("an unknown conversion in a format", std::string(1, spec.type));
    }
  }

  void write_text(FormatSpec spec) {
    const Value& value = next();
    TextBuilder piece(engine_);
    if (spec.type == 's')
      append_str(piece, value);
    else if (spec.type == 'r')
      append_repr(piece, value);
    else
      piece.append(ascii_repr(engine_, value), value.source);
    Value text = piece.finish(value.is_markup() ? kMarkup : 0);
    if (format_.is_markup()) text = escape(engine_, text);
    pad_text(text, spec);
  }
  void pad_text(Value text, FormatSpec spec) {
    if (spec.precision >= 0)
      text.size = static_cast<std::uint32_t>(byte_offset(text.string(), static_cast<std::size_t>(spec.precision)));
    spec.fill = ' ';
    if (spec.align == '=') spec.align = '>';
    append_padded(result_, text, spec, '>');
  }

  void write_character(FormatSpec spec) {
    const Value& value = next();
    std::string one;
    if (value.is_integer()) {
      if (value.as_integer() < 0 || value.as_integer() > 0x10FFFF)
        engine_.fail("%c needs a character", std::to_string(value.as_integer()));
      base::append_utf8(one, static_cast<char32_t>(value.as_integer()));
    } else if (value.is_string() && length(value) == 1) {
      one = value.string();
    } else {
      engine_.fail("%c needs a character", type_name(value));
    }
    pad_text(engine_.copy(one, value.source), spec);
  }

  void write_integer(FormatSpec spec) {
    const Value& value = next();
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    if (!value.is_integer() && !(decimal && value.is(Type::kFloat)))
      engine_.fail("a format needs an integer", type_name(value));
    if (value.is(Type::kFloat) && !(std::abs(value.real) < 0x1p63))
      engine_.fail("a number leaves the range of 64 bits");
    const std::int64_t integer = value.is(Type::kFloat) ? static_cast<std::int64_t>(value.real) : value.as_integer();
    std::string digits = integer_digits(integer, spec);
    if (spec.precision > kWidest) engine_.fail("a number has too many digits", std::to_string(spec.precision));
    if (spec.precision > static_cast<std::int64_t>(digits.size()))
      digits.insert(0, static_cast<std::size_t>(spec.precision) - digits.size(), '0');
    append_number(result_, integer < 0, digits, spec.alternate ? base_prefix(spec.type) : "", spec, value.source);
  }

  void write_real(FormatSpec spec) {
    const Value& value = next();
    if (!value.is_number()) engine_.fail("a format needs a number", type_name(value));
    const double real = value.as_real();
    append_number(result_, std::signbit(real) && !std::isnan(real), real_digits(engine_, real, spec), "", spec,
                  value.source);
  }

  Engine& engine_;
  const Value& format_;
  std::string_view text_;
  const Value& arguments_;
  TextBuilder result_;
  bool several_, mapping_;
  std::size_t at_ = 0, used_ = 0;
  const Value* named_ = nullptr;
};

}  // namespace

Value format_percent(Engine& engine, const Value& format, const Value& arguments) {
  return PercentFormat(engine, format, arguments).run();
}

}  // namespace tokenizer::jinja
