// tojson: json.dumps with the options that transformers' filter has. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/unicode.h"
#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

namespace {

class Writer {
 public:
  Writer(TextBuilder& text, const JsonStyle& style) : text_(text), engine_(text.engine()), style_(style) {}

  void write(const Value& value) {
    engine_.charge();
    switch (value.type) {
      case Type::kString:
        return value.is_digits() ? text_.append(value.string(), value.source) : write_string(value);
      case Type::kList:
      case Type::kTuple:
        return write_list(value);
      case Type::kDict:
        return write_dict(value);
      default:
        return text_.append(scalar(value), value.source);
    }
  }

 private:
  std::string scalar(const Value& value) {
    switch (value.type) {
      case Type::kNone:
        return "null";
      case Type::kBool:
        return value.boolean ? "true" : "false";
      case Type::kInt:
        return fmt::format_int(value.integer).str();
      case Type::kFloat:
        if (std::isnan(value.real)) return "NaN";
        if (std::isinf(value.real)) return value.real < 0 ? "-Infinity" : "Infinity";
        return float_repr(value.real);
      case Type::kUndefined:
        engine_.fail("tojson of something undefined: " + describe_undefined(value));
      default:
        engine_.fail("this cannot be written as JSON", type_name(value));
    }
  }

  void write_string(const Value& string) {
    const std::string_view all = string.string();
    engine_.charge_bytes(all.size());
    text_.append('"', string.source);
    std::size_t done = 0;
    for (std::size_t at = 0; at < all.size();) {
      const auto byte = static_cast<unsigned char>(all[at]);
      if (byte >= 0x20 && byte != '"' && byte != '\\' && (byte < 0x7F || !style_.ascii)) {
        ++at;
        continue;
      }
      text_.append(all.substr(done, at - done), string.source);
      text_.append(escaped(base::next_code_point(all, at)), string.source);
      done = at;
    }
    text_.append(all.substr(done), string.source);
    text_.append('"', string.source);
  }

  static std::string escaped(char32_t c) {
    static constexpr std::string_view kMeant = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
    if (c < 0x80)
      if (const std::size_t at = kMeant.find(static_cast<char>(c)); at != kMeant.npos) return {'\\', kLetters[at]};
    const auto code = static_cast<std::uint32_t>(c);
    if (code < 0x10000) return fmt::format("\\u{:04x}", code);
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF));
  }

  void write_line(const Source* source) {
    if (!style_.indent) return;
    text_.append('\n', source);
    for (int i = 0; i < level_; ++i) text_.append(*style_.indent, source);
  }
  void open(char bracket, const Source* source) {
    engine_.check_stack();
    text_.append(bracket, source);
    ++level_;
    write_line(source);
  }
  void close(char bracket, const Source* source) {
    --level_;
    write_line(source);
    text_.append(bracket, source);
  }
  void separate(const Source* source) {
    text_.append(style_.item_separator, source);
    write_line(source);
  }

  void write_list(const Value& list) {
    if (list.size == 0) return text_.append("[]", list.source);
    open('[', list.source);
    for (std::size_t i = 0; i < list.size; ++i) {
      if (i > 0) separate(list.source);
      write(list.items[i]);
    }
    close(']', list.source);
  }

  void write_dict(const Value& value) {
    std::span<const Dict::Entry> entries = value.dict->items();
    if (entries.empty()) return text_.append("{}", value.source);
    std::vector<Dict::Entry> sorted;
    if (style_.sort_keys) {
      sorted.assign(entries.begin(), entries.end());
      std::ranges::stable_sort(sorted, [&](const auto& a, const auto& b) { return less(engine_, a.key, b.key); });
      entries = sorted;
    }
    open('{', value.source);
    bool first = true;
    for (const Dict::Entry& entry : entries) {
      if (!first) separate(value.source);
      first = false;
      if (entry.key.is_string())
        write_string(entry.key);
      else if (entry.key.is_number() || entry.key.is(Type::kNone))
        text_.append('"' + scalar(entry.key) + '"', entry.key.source);
      else
        engine_.fail("this cannot be a key in JSON", type_name(entry.key));
      text_.append(style_.key_separator, value.source);
      write(entry.value);
    }
    close('}', value.source);
  }

  TextBuilder& text_;
  Engine& engine_;
  const JsonStyle& style_;
  int level_ = 0;
};

}  // namespace

void append_json(TextBuilder& text, const Value& value, const JsonStyle& style) { Writer(text, style).write(value); }

}  // namespace tokenizer::jinja
