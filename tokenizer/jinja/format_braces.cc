// str.format: "{}".format(x). Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/unicode.h"
#include "tokenizer/jinja/format.h"

namespace tokenizer::jinja {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

// [[fill]align][sign][#][0][width][grouping][.precision][type]
FormatSpec parsed(Engine& engine, std::string_view text) {
  FormatSpec spec;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '=' || c == '^'; };
  std::size_t at = 0;
  std::size_t second = 0;
  if (!text.empty()) base::next_code_point(text, second);
  if (second > 0 && second < text.size() && is_align(text[second])) {
    std::size_t begin = 0;
    spec.fill = base::next_code_point(text, begin);
    spec.align = text[second];
    at = second + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[at++];
  }
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  if (peek() == '+' || peek() == '-' || peek() == ' ') spec.sign = text[at++];
  if (peek() == '#') spec.alternate = true, ++at;
  if (peek() == '0') {
    ++at;
    if (!spec.align) spec.align = '=', spec.fill = '0';
  }
  const auto number = [&] {
    std::int64_t value = 0;
    while (digit(peek())) {
      value = value * 10 + (text[at++] - '0');
      if (value > 10'000'000) engine.fail("a field is too wide", text);
    }
    return value;
  };
  spec.width = number();
  if (peek() == ',' || peek() == '_') spec.grouping = text[at++];
  if (peek() == '.') {
    ++at;
    if (!digit(peek())) engine.fail("a field lacks its precision", text);
    spec.precision = number();
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) engine.fail("a field has a format that is not understood", text);
  return spec;
}

void append_string(TextBuilder& text, const Value& value, FormatSpec spec) {
  if ((spec.type && spec.type != 's') || spec.sign != '-' || spec.alternate || spec.grouping ||
      (spec.align == '=' && spec.fill != '0'))
    text.engine().fail("a field has a format that is none of a string",
                       std::string(1, spec.type ? spec.type : spec.sign));
  if (spec.align == '=') spec.align = '<';
  Value cut = value;
  if (spec.precision >= 0)
    cut.size = static_cast<std::uint32_t>(byte_offset(value.string(), static_cast<std::size_t>(spec.precision)));
  append_padded(text, cut, spec, '<');
}

void append_real(TextBuilder& text, double value, const FormatSpec& spec, const Source* source) {
  if (spec.type && std::string_view("eEfFgGn%").find(spec.type) == std::string_view::npos)
    text.engine().fail("a field has a format that is none of a float", std::string(1, spec.type));
  append_number(text, std::signbit(value) && !std::isnan(value), real_digits(text.engine(), value, spec), "", spec,
                source);
}

void append_integer(TextBuilder& text, const Value& value, FormatSpec spec) {
  Engine& engine = text.engine();
  if (spec.type && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos)
    return append_real(text, value.as_real(), spec, value.source);
  if (spec.precision >= 0) engine.fail("an integer has no precision");
  if (spec.type == 'c') {
    if (value.as_integer() < 0 || value.as_integer() > 0x10FFFF)
      engine.fail("no character", std::to_string(value.as_integer()));
    std::string one;
    base::append_utf8(one, static_cast<char32_t>(value.as_integer()));
    return append_padded(text, engine.copy(one), spec, '>');
  }
  if (spec.type && std::string_view("bdoxXn").find(spec.type) == std::string_view::npos)
    engine.fail("a field has a format that is none of an integer", std::string(1, spec.type));
  append_number(text, value.as_integer() < 0, integer_digits(value.as_integer(), spec),
                spec.alternate ? base_prefix(spec.type) : "", spec, value.source);
}

void append_formatted(TextBuilder& text, const Value& value, std::string_view format) {
  if (format.empty()) return append_str(text, value);
  const FormatSpec spec = parsed(text.engine(), format);
  if (value.is_string()) return append_string(text, value, spec);
  if (value.is_integer()) return append_integer(text, value, spec);
  if (value.is(Type::kFloat)) return append_real(text, value.real, spec, value.source);
  text.engine().fail("a field of this type has no format", type_name(value));
}

class BraceFormat {
 public:
  BraceFormat(Engine& engine, const Value& format, const Arguments& arguments)
      : engine_(engine), format_(format), arguments_(arguments) {}

  Value run() {
    TextBuilder result(engine_, format_.size);
    fill(result, format_.string(), 2);
    return result.finish(format_.detail);
  }

 private:
  // `levels`: a field's format may have fields, theirs none.
  void fill(TextBuilder& result, std::string_view text, int levels) {
    if (levels == 0) engine_.fail("fields of a format nest too deeply", text);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t mark = std::min(text.find_first_of("{}", at), text.size());
      result.append(text.substr(at, mark - at), format_.source);
      if (mark == text.size()) return;
      engine_.charge();
      if (mark + 1 < text.size() && text[mark + 1] == text[mark]) {
        result.append(text[mark], format_.source);
        at = mark + 2;
        continue;
      }
      if (text[mark] == '}') engine_.fail("a format has a single '}'", text);
      const std::size_t end = end_of_field(text, mark);
      field(result, text.substr(mark + 1, end - mark - 1), levels);
      at = end + 1;
    }
  }

  std::size_t end_of_field(std::string_view text, std::size_t open) {
    int depth = 0;
    bool bracket = false;
    for (std::size_t at = open; at < text.size(); ++at) {
      if (text[at] == '[' && depth == 1) bracket = true;
      if (text[at] == ']') bracket = false;
      if (bracket) continue;
      depth += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
      if (depth == 0) return at;
    }
    engine_.fail("a field of a format is not closed", text);
  }

  void field(TextBuilder& result, std::string_view text, int levels) {
    std::size_t end = 0;
    for (bool bracket = false; end < text.size() && (bracket || (text[end] != '!' && text[end] != ':')); ++end)
      bracket = text[end] == '[' || (bracket && text[end] != ']');
    Value value = looked_up(text.substr(0, end));
    std::string_view rest = text.substr(end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':'))
        engine_.fail("a field has a conversion that is not understood", text);
      value = converted(value, rest[1]);
      rest.remove_prefix(2);
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    TextBuilder format(engine_);
    fill(format, rest, levels - 1 + (rest.empty() ? 1 : 0));
    if (format_.is_markup()) value = escape(engine_, value);
    append_formatted(result, value, format.view());
  }

  Value converted(const Value& value, char conversion) {
    TextBuilder text(engine_);
    if (conversion == 's')
      append_str(text, value);
    else if (conversion == 'r')
      append_repr(text, value);
    else if (conversion == 'a')
      text.append(ascii_repr(engine_, value), value.source);
    else
      engine_.fail("a field has an unknown conversion", std::string(1, conversion));
    return text.finish();
  }

  Value looked_up(std::string_view name) {
    const std::size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, end));
    for (std::size_t at = end; at < name.size();) {
      if (name[at] == '.') {
        const std::size_t stop = std::min(name.find_first_of(".[", at + 1), name.size());
        if (stop == at + 1) engine_.fail("a field has an empty attribute", name);
        value = attribute(engine_, value, name.substr(at + 1, stop - at - 1));
        at = stop;
      } else if (name[at] == '[') {
        const std::size_t stop = name.find(']', at);
        if (stop == name.npos || stop == at + 1) engine_.fail("a field has a malformed index", name);
        const std::string_view key = name.substr(at + 1, stop - at - 1);
        const bool number = key.size() < 18 && std::ranges::all_of(key, digit);
        value =
            subscript(engine_, value, number ? Value::integer_of(std::stoll(std::string(key))) : Value::string_of(key));
        at = stop + 1;
      } else {
        engine_.fail("a field has a name that is not understood", name);
      }
    }
    return value;
  }

  Value argument(std::string_view name) {
    const bool number = std::ranges::all_of(name, digit);
    if (!number) {
      for (const Named& named : arguments_.named)
        if (named.name == name) return named.value;
      engine_.fail("a field has no value", name);
    }
    const char kind = name.empty() ? 'a' : 'n';
    if (numbering_ && numbering_ != kind) engine_.fail("fields with and without numbers are mixed", format_.string());
    numbering_ = kind;
    const std::size_t index = name.empty() ? next_++ : name.size() < 10 ? std::stoul(std::string(name)) : SIZE_MAX;
    if (index >= arguments_.positional.size()) engine_.fail("a field has no value", name);
    return arguments_.positional[index];
  }

  Engine& engine_;
  const Value& format_;
  const Arguments& arguments_;
  std::size_t next_ = 0;
  char numbering_ = '\0';
};

}  // namespace

Value format_braces(Engine& engine, const Value& format, const Arguments& arguments) {
  return BraceFormat(engine, format, arguments).run();
}

}  // namespace tokenizer::jinja
