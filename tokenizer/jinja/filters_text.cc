// The filters of texts. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/unicode.h"
#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/strings.h"
#include "tokenizer/jinja/unicode.h"

namespace tokenizer::jinja {

namespace {

using Text = std::string_view;

template <std::string (*change)(Text)>
Value changed(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "the filter", arguments, {});
  const Value text = engine.to_string(input);
  charge_case(engine, text.string());
  return with_text(engine, text, change(text.string()));
}

// Jinja's own: words begin after "-", "(", "{", "[", "<" and white space.
std::string title(Text text) {
  std::string result;
  const auto separates = [](char32_t c) {
    return base::is_space(c) || (c < 0x80 && Text("-({[<").find(static_cast<char>(c)) != Text::npos);
  };
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at, next = at;
    const bool separator = separates(base::next_code_point(text, next));
    while (end < text.size() && separates(base::next_code_point(text, next = end)) == separator) end = next;
    const Text word = text.substr(at, end - at);
    std::size_t first = 0;
    base::next_code_point(word, first);
    result += separator ? std::string(word) : upper_case(word.substr(0, first)) + lower_case(word.substr(first));
    at = end;
  }
  return result;
}

Value title_filter(Engine& engine, const Value& input, const Arguments& arguments) {
  engine.charge(engine.to_string(input).size);  // word by word it takes longer than the case alone
  return changed<title>(engine, input, arguments);
}

Value call_method(Engine& engine, const Value& string, const char* name, const Arguments& arguments) {
  return find_string_method(name)->call(engine, string, arguments);
}

Value center(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "center", arguments, {"width"});
  const Value width = given.value_or(0, Value::integer_of(80));
  return call_method(engine, engine.to_string(input), "center", {{&width, 1}, {}});
}

Value format(Engine& engine, const Value& input, const Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty())
    engine.fail("format takes values with names or without, not both");
  const Value text = engine.to_string(input);
  if (arguments.named.empty())
    return format_percent(engine, text,
                          Value::sequence_of(Type::kTuple, arguments.positional.data(), arguments.positional.size()));
  return format_percent(engine, text, make_dict(engine, arguments));
}

Value indent(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "indent", arguments, {"width", "first", "blank"});
  if (!input.is_string())
    engine.fail(input.is_undefined() ? describe_undefined(input) : "indent needs a text",
                input.is_undefined() ? "" : type_name(input));
  Value indentation;
  if (given.has(0) && given[0].is_string()) {
    indentation = given[0];
  } else {
    const std::int64_t width = std::max<std::int64_t>(0, given.integer(0, 4));
    if (width > 1'000'000) engine.fail("an indentation is too wide", std::to_string(width));
    indentation = engine.copy(std::string(static_cast<std::size_t>(width), ' '));
  }
  const bool first = given.truth_of(1), blank = given.truth_of(2);
  const Source* source = input.source && input.source->count == 0 ? input.source : nullptr;
  TextBuilder text(engine, input.size);
  if (first) text.append(indentation);
  bool is_first = true;
  const auto add = [&](const Value& line) {
    engine.charge();
    if (!is_first) text.append('\n', source);
    if (!is_first && (blank || line.size > 0)) text.append(indentation);
    is_first = false;
    text.append(line);
  };
  for (const Value& line : lines_of(engine, input, false).list()) add(line);
  // The filter reads one line end more than there is: a text that ends with one, or is empty, has another line.
  const Text all = input.string();
  std::size_t last = all.size();
  while (last > 0 && (static_cast<unsigned char>(all[--last]) & 0xC0) == 0x80) {
  }
  if (all.empty() || (line_end_size(all, last) > 0 && all.back() != '\r')) add(part_of(input, all.substr(all.size())));
  return text.finish(input.detail);
}

Value join_items(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "join", arguments, {"d", "attribute"});
  const Value separator = engine.to_string(given.value_or(0, Value::string_of("")));
  if (!given.given(1)) return join(engine, separator, input, true);
  ListBuilder items(engine);
  for_each(engine, input, [&](const Value& item) { items.add(attribute_path(engine, item, given[1])); });
  return join(engine, separator, items.finish(), true);
}

Value replace_text(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "replace", arguments, {"old", "new", "count"}, 2);
  Value text = engine.to_string(input);
  text.detail = 0;
  const std::int64_t count = given.given(2) ? given.integer(2) : -1;
  return replace(engine, text, engine.to_string(given[0]), engine.to_string(given[1]), count);
}

Value to_text(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "string", arguments, {});
  return engine.to_string(input);
}

Value to_json(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = given.truth_of(0);
  style.sort_keys = given.truth_of(3);
  if (given.given(1)) {
    style.item_separator = ",";
    const std::int64_t width = given[1].is_string() ? 0 : given.integer(1);
    if (width > 10'000) engine.fail("an indentation is too wide", std::to_string(width));
    style.indent = given[1].is_string() ? std::string(given.string(1))
                                        : std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, width)), ' ');
  }
  if (given.given(2)) {
    const Value separators = to_list(engine, given[2]);
    if (separators.size != 2 || !separators.items[0].is_string() || !separators.items[1].is_string())
      engine.fail("separators of tojson are two strings");
    style.item_separator = separators.items[0].string();
    style.key_separator = separators.items[1].string();
  }
  TextBuilder text(engine);
  append_json(text, input, style);
  return text.finish();
}

Value trim(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "trim", arguments, {"chars"});
  return strip(engine, engine.to_string(input), given.has(0) ? &given[0] : nullptr, true, true);
}

Value truncate(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::int64_t size = given.integer(0, 255), leeway = given.given(3) ? given.integer(3) : 5;
  const Value end = given.value_or(2, Value::string_of("..."));
  const std::int64_t kept = size - length(end);
  if (kept < 0 || leeway < 0) engine.fail("truncate has no room for its end", std::to_string(size));
  if (length(input) >= 0 && length(input) <= size + leeway) return input;
  if (!input.is_string() || !end.is_string()) engine.fail("truncate needs texts", type_name(input));
  Text text = input.string().substr(0, byte_offset(input.string(), static_cast<std::size_t>(kept)));
  if (!given.truth_of(1)) text = text.substr(0, text.rfind(' '));
  return engine.concatenate(part_of(input, text), end);
}

Value count_words(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "wordcount", arguments, {});
  const Value string = engine.to_string(input);
  engine.charge_bytes(string.size);
  std::int64_t words = 0;
  bool in_word = false;
  for (std::size_t at = 0; at < string.size;) {
    const bool word = base::is_word_character(base::next_code_point(string.string(), at));
    words += word && !in_word;
    in_word = word;
  }
  return Value::integer_of(words);
}

constexpr std::array kFilters = {FilterFunction{"capitalize", changed<capitalized>},
                                 FilterFunction{"center", center},
                                 FilterFunction{"format", format},
                                 FilterFunction{"indent", indent},
                                 FilterFunction{"join", join_items},
                                 FilterFunction{"lower", changed<lower_case>},
                                 FilterFunction{"replace", replace_text},
                                 FilterFunction{"string", to_text},
                                 FilterFunction{"title", title_filter},
                                 FilterFunction{"tojson", to_json},
                                 FilterFunction{"trim", trim},
                                 FilterFunction{"truncate", truncate},
                                 FilterFunction{"upper", changed<upper_case>},
                                 FilterFunction{"wordcount", count_words}};

}  // namespace

std::span<const FilterFunction> text_filters() { return kFilters; }

}  // namespace tokenizer::jinja
