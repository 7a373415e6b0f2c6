// str() and repr() of values. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/unicode.h"
#include "tokenizer/jinja/loop.h"
#include "tokenizer/jinja/syntax.h"
#include "tokenizer/jinja/unicode.h"

namespace tokenizer::jinja {

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific).ptr;
  std::string text(digits, end);
  const std::size_t mark = text.find('e');
  const int exponent = std::stoi(text.substr(mark + 1));
  if (exponent < -4 || exponent >= 16) {
    // Two digits of exponent at least, as to_chars writes too.
    return text;
  }
  const auto fixed_end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed).ptr;
  std::string fixed(digits, fixed_end);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

namespace {

void append_escape(TextBuilder& text, char32_t c, const Source* source) {
  const auto code = static_cast<std::uint32_t>(c);
  if (c < 0x100)
    text.append(fmt::format("\\x{:02x}", code), source);
  else if (c < 0x10000)
    text.append(fmt::format("\\u{:04x}", code), source);
  else
    text.append(fmt::format("\\U{:08x}", code), source);
}

void append_quoted(TextBuilder& text, const Value& string) {
  const std::string_view all = string.string();
  const char quote = all.find('\'') != all.npos && all.find('"') == all.npos ? '"' : '\'';
  text.append(quote, string.source);
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t begin = at;
    const char32_t c = base::next_code_point(all, at);
    if (c == '\\' || c == static_cast<char32_t>(quote))
      text.append(std::string{'\\', static_cast<char>(c)}, string.source);
    else if (c == '\n' || c == '\r' || c == '\t')
      text.append(c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t", string.source);
    else if (is_printable(c))
      text.append(all.substr(begin, at - begin), string.source);
    else
      append_escape(text, c, string.source);
  }
  text.append(quote, string.source);
}

template <class Range, class Append>
void append_items(TextBuilder& text, std::string_view open, const Range& items, std::string_view close,
                  const Source* source, Append append) {
  text.engine().check_stack();
  text.append(open, source);
  bool first = true;
  for (const auto& item : items) {
    text.engine().charge();
    if (!first) text.append(", ", source);
    first = false;
    append(item);
  }
  text.append(close, source);
}

void append_pair(TextBuilder& text, const Dict::Entry& entry, std::string_view between, const Source* source) {
  append_repr(text, entry.key);
  text.append(between, source);
  append_repr(text, entry.value);
}

void append_dict(TextBuilder& text, const Dict& dict, const Source* source) {
  append_items(text, "{", dict.items(), "}", source,
               [&](const Dict::Entry& entry) { append_pair(text, entry, ": ", source); });
}

void append_view(TextBuilder& text, const Value& view) {
  switch (static_cast<ViewKind>(view.detail)) {
    case ViewKind::kKeys:
      return append_items(text, "dict_keys([", view.dict->items(), "])", view.source,
                          [&](const Dict::Entry& entry) { append_repr(text, entry.key); });
    case ViewKind::kValues:
      return append_items(text, "dict_values([", view.dict->items(), "])", view.source,
                          [&](const Dict::Entry& entry) { append_repr(text, entry.value); });
    case ViewKind::kItems:
      return append_items(text, "dict_items([", view.dict->items(), "])", view.source, [&](const Dict::Entry& entry) {
        text.append('(', view.source);
        append_pair(text, entry, ", ", view.source);
        text.append(')', view.source);
      });
  }
}

std::string range_repr(const Range& range) {
  return range.step == 1 ? fmt::format("range({}, {})", range.start, range.stop)
                         : fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
}

void append_scalar(TextBuilder& text, const Value& value) {
  switch (value.type) {
    case Type::kUndefined:
      return text.append("Undefined");
    case Type::kNone:
      return text.append("None", value.source);
    case Type::kBool:
      return text.append(value.boolean ? "True" : "False", value.source);
    case Type::kInt:
      return text.append(fmt::format_int(value.integer).c_str(), value.source);
    case Type::kFloat:
      return text.append(float_repr(value.real), value.source);
    case Type::kRange:
      return text.append(range_repr(*value.range));
    case Type::kLoop:
      return text.append(fmt::format("<LoopContext {}/{}>", value.loop->index0 + 1, value.loop->length(text.engine())));
    case Type::kMacro:
      return text.append(fmt::format("<Macro '{}'>", value.closure->macro->name));
    case Type::kTemplate:
      return text.append("<TemplateReference None>");
    default:
      return text.append(fmt::format("<{}>", type_name(value)));
  }
}

}  // namespace

void append_repr(TextBuilder& text, const Value& value) {
  switch (value.type) {
    case Type::kString:
      text.engine().charge_bytes(value.size);
      if (value.is_digits()) return text.append(value.string(), value.source);
      if (!value.is_markup()) return append_quoted(text, value);
      text.append("Markup(");
      append_quoted(text, value);
      return text.append(")");
    case Type::kList:
      return append_items(text, "[", value.list(), "]", value.source,
                          [&](const Value& item) { append_repr(text, item); });
    case Type::kTuple:
      return append_items(text, "(", value.list(), value.size == 1 ? ",)" : ")", value.source,
                          [&](const Value& item) { append_repr(text, item); });
    case Type::kDict:
      return append_dict(text, *value.dict, value.source);
    case Type::kView:
      return append_view(text, value);
    case Type::kNamespace:
      text.append("<Namespace ");
      append_dict(text, *value.dict, value.source);
      return text.append(">");
    default:
      return append_scalar(text, value);
  }
}

void append_str(TextBuilder& text, const Value& value) {
  if (value.is_string()) return text.append(value);
  if (!value.is_undefined()) append_repr(text, value);
}

}  // namespace tokenizer::jinja
