// The methods of str. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/unicode.h"
#include "tokenizer/jinja/strings.h"
#include "tokenizer/jinja/unicode.h"

namespace tokenizer::jinja {

namespace {

using Text = std::string_view;
constexpr std::size_t kNone = Text::npos;

Value split_space(Engine& engine, const Value& self, std::int64_t limit) {
  ListBuilder parts(engine);
  Text rest = strip_left(self.string());
  while (!rest.empty()) {
    engine.charge();
    if (limit >= 0 && static_cast<std::int64_t>(parts.size()) == limit) {
      parts.add(part_of(self, rest));
      break;
    }
    std::size_t end = 0;
    for (std::size_t next = 0; end < rest.size(); end = next)
      if (base::is_space(base::next_code_point(rest, next = end))) break;
    parts.add(part_of(self, rest.substr(0, end)));
    rest = strip_left(rest.substr(end));
  }
  return parts.finish();
}

Value rsplit_space(Engine& engine, const Value& self, std::int64_t limit) {
  ListBuilder parts(engine);
  Text rest = strip_right(self.string());
  while (!rest.empty()) {
    engine.charge();
    if (limit >= 0 && static_cast<std::int64_t>(parts.size()) == limit) {
      parts.add(part_of(self, rest));
      break;
    }
    std::size_t begin = rest.size();
    while (begin > 0) {
      std::size_t before = begin - 1;
      while (before > 0 && (static_cast<unsigned char>(rest[before]) & 0xC0) == 0x80) --before;
      std::size_t at = before;
      if (base::is_space(base::next_code_point(rest, at))) break;
      begin = before;
    }
    parts.add(part_of(self, rest.substr(begin)));
    rest = strip_right(rest.substr(0, begin));
  }
  std::ranges::reverse(parts.items());
  return parts.finish();
}

Value split(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "split", arguments, {"sep", "maxsplit"});
  const std::int64_t limit = given.integer(1, -1);
  engine.charge_bytes(self.size);
  if (!given.given(0)) return split_space(engine, self, limit);
  const Text text = self.string(), separator = given.string(0);
  if (separator.empty()) engine.fail("split needs a separator that is not empty");
  ListBuilder parts(engine);
  std::size_t begin = 0;
  for (std::size_t at; (limit < 0 || static_cast<std::int64_t>(parts.size()) < limit) &&
                       (at = find_text(text, separator, begin)) != kNone;) {
    engine.charge();
    parts.add(part_of(self, text.substr(begin, at - begin)));
    begin = at + separator.size();
  }
  parts.add(part_of(self, text.substr(begin)));
  return parts.finish();
}

Value rsplit(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "rsplit", arguments, {"sep", "maxsplit"});
  const std::int64_t limit = given.integer(1, -1);
  engine.charge_bytes(self.size);
  if (!given.given(0)) return rsplit_space(engine, self, limit);
  const Text text = self.string(), separator = given.string(0);
  if (separator.empty()) engine.fail("rsplit needs a separator that is not empty");
  charge_backwards(engine, text, separator);
  ListBuilder parts(engine);
  std::size_t end = text.size();
  while ((limit < 0 || static_cast<std::int64_t>(parts.size()) < limit) && end >= separator.size()) {
    const std::size_t at = text.rfind(separator, end - separator.size());
    if (at == kNone) break;
    engine.charge();
    parts.add(part_of(self, text.substr(at + separator.size(), end - at - separator.size())));
    end = at;
  }
  parts.add(part_of(self, text.substr(0, end)));
  std::ranges::reverse(parts.items());
  return parts.finish();
}

Value split_lines(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "splitlines", arguments, {"keepends"});
  return lines_of(engine, self, given.truth_of(0));
}

Value partition(Engine& engine, const Value& self, const Arguments& arguments, bool from_right) {
  const Parameters given(engine, "partition", arguments, {"sep"}, 1);
  const Text text = self.string(), separator = given.string(0);
  if (separator.empty()) engine.fail("partition needs a separator that is not empty");
  engine.charge_bytes(text.size());
  if (from_right) charge_backwards(engine, text, separator);
  const std::size_t at = from_right ? text.rfind(separator) : find_text(text, separator);
  Value* parts = engine.arena.array<Value>(3);
  const Value nothing = part_of(self, "");
  if (at == kNone) {
    parts[0] = from_right ? nothing : self, parts[1] = nothing, parts[2] = from_right ? self : nothing;
  } else {
    parts[0] = part_of(self, text.substr(0, at)), parts[1] = given[0];
    parts[2] = part_of(self, text.substr(at + separator.size()));
  }
  return Value::sequence_of(Type::kTuple, parts, 3);
}
Value partition_left(Engine& engine, const Value& self, const Arguments& arguments) {
  return partition(engine, self, arguments, false);
}
Value partition_right(Engine& engine, const Value& self, const Arguments& arguments) {
  return partition(engine, self, arguments, true);
}

template <bool left, bool right>
Value stripped(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "strip", arguments, {"chars"});
  return strip(engine, self, given.has(0) ? &given[0] : nullptr, left, right);
}

// The part of the text between the optional bounds of find, count, startswith ...; empty when they cross (`*crossed`).
Text bounded(Engine& engine, const Value& self, const Parameters& given, std::size_t first, std::int64_t* start,
             bool* crossed) {
  const auto size = length(self);
  const auto bound = [&](std::size_t index, std::int64_t otherwise) {
    if (!given.given(index)) return otherwise;
    const std::int64_t at = given.integer(index);
    return at < 0 ? std::max<std::int64_t>(at + size, 0) : at;
  };
  engine.charge_bytes(self.size);
  *start = bound(first, 0);
  const std::int64_t end = std::min(bound(first + 1, size), size);
  *crossed = *start > end;
  if (*crossed) return {};
  const Text text = self.string();
  const std::size_t from = byte_offset(text, static_cast<std::size_t>(*start));
  return text.substr(from, byte_offset(text.substr(from), static_cast<std::size_t>(end - *start)));
}

template <bool at_end>
Value has_affix(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, at_end ? "endswith" : "startswith", arguments, {"affix", "start", "end"}, 1);
  std::int64_t start;
  bool crossed;
  const Text text = bounded(engine, self, given, 1, &start, &crossed);
  const auto fits = [&](const Value& affix) {
    if (!affix.is_string()) engine.fail("startswith and endswith need a string, or a tuple of them", type_name(affix));
    return !crossed && (at_end ? text.ends_with(affix.string()) : text.starts_with(affix.string()));
  };
  if (!given[0].is(Type::kTuple)) return Value::boolean_of(fits(given[0]));
  engine.charge(given[0].size);
  return Value::boolean_of(std::ranges::any_of(given[0].list(), fits));
}

template <bool from_right, bool must>
Value find(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, must ? "index" : "find", arguments, {"sub", "start", "end"}, 1);
  std::int64_t start;
  bool crossed;
  const Text wanted = given.string(0), text = bounded(engine, self, given, 1, &start, &crossed);
  if (from_right) charge_backwards(engine, text, wanted);
  const std::size_t at = crossed ? kNone : from_right ? text.rfind(wanted) : find_text(text, wanted);
  if (at == kNone && must) engine.fail("the text does not occur", wanted);
  return Value::integer_of(at == kNone ? -1 : start + static_cast<std::int64_t>(code_points(text.substr(0, at))));
}

Value count(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "count", arguments, {"sub", "start", "end"}, 1);
  std::int64_t start, times = 0;
  bool crossed;
  const Text wanted = given.string(0), text = bounded(engine, self, given, 1, &start, &crossed);
  if (crossed) return Value::integer_of(0);
  if (wanted.empty()) return Value::integer_of(static_cast<std::int64_t>(code_points(text)) + 1);
  for (std::size_t at = find_text(text, wanted); at != kNone; at = find_text(text, wanted, at + wanted.size())) {
    engine.charge();
    ++times;
  }
  return Value::integer_of(times);
}

Value replace_method(Engine& engine, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) engine.fail("replace has no named arguments", arguments.named[0].name);
  const Parameters given(engine, "replace", arguments, {"old", "new", "count"}, 2);
  given.string(0), given.string(1);
  const Value to = self.is_markup() ? escape(engine, given[1]) : given[1];
  return replace(engine, self, given[0], to, given.integer(2, -1));
}

Value join_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "join", arguments, {"iterable"}, 1);
  return join(engine, self, given[0], false);
}

template <std::string (*change)(Text)>
Value changed(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters none(engine, "this method", arguments, {});
  charge_case(engine, self.string());
  return with_text(engine, self, change(self.string()));
}

template <bool (*holds)(Text)>
Value is(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters none(engine, "this method", arguments, {});
  engine.charge(self.size / 4);
  return Value::boolean_of(holds(self.string()));
}
template <Property property>
bool all(Text text) {
  return all_have(text, property);
}

template <bool at_end>
Value without_affix(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, at_end ? "removesuffix" : "removeprefix", arguments, {"affix"}, 1);
  Text text = self.string();
  const Text affix = given.string(0);
  if (affix.empty()) return self;
  if (at_end && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!at_end && text.starts_with(affix)) text.remove_prefix(affix.size());
  return part_of(self, text);
}

// Adds `left` and `right` fill characters.
Value padded(const Value& self, Engine& engine, std::int64_t left, std::int64_t right, Text fill) {
  if (left + right > static_cast<std::int64_t>(Arena::kLimit / 4))
    engine.fail("a text is padded too wide", std::to_string(left + right));
  TextBuilder result(engine);
  for (std::int64_t i = 0; i < left; ++i) result.append(fill);
  result.append(self);
  for (std::int64_t i = 0; i < right; ++i) result.append(fill);
  engine.charge(static_cast<std::uint64_t>(left + right) / 8);
  return result.finish(self.detail);
}

enum class Side { kLeft, kRight, kBoth };
template <Side side>
Value justified(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "ljust, rjust and center", arguments, {"width", "fillchar"}, 1);
  const Text fill = given.string(1, " ");
  if (code_points(fill) != 1) engine.fail("one character fills", fill);
  const std::int64_t width = given.integer(0), missing = width - length(self);
  if (missing <= 0) return self;
  if (side == Side::kRight) return padded(self, engine, missing, 0, fill);
  if (side == Side::kLeft) return padded(self, engine, 0, missing, fill);
  const std::int64_t left = missing / 2 + (missing & width & 1);
  return padded(self, engine, left, missing - left, fill);
}

Value zero_filled(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "zfill", arguments, {"width"}, 1);
  const std::int64_t missing = given.integer(0) - length(self);
  if (missing <= 0) return self;
  const Text text = self.string();
  const bool sign = text.starts_with('+') || text.starts_with('-');
  const Value digits = padded(part_of(self, text.substr(sign ? 1 : 0)), engine, missing, 0, "0");
  return sign ? engine.concatenate(part_of(self, text.substr(0, 1)), digits) : digits;
}

Value expand_tabs(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "expandtabs", arguments, {"tabsize"});
  const std::int64_t size = given.integer(0, 8);
  if (size > 10'000) engine.fail("tabs are too wide", std::to_string(size));
  TextBuilder result(engine, self.size);
  const Text text = self.string();
  std::int64_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = base::next_code_point(text, at);
    engine.charge();
    if (c != '\t') {
      result.append(text.substr(begin, at - begin), self.source);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    } else if (size > 0) {
      const std::int64_t spaces = size - column % size;
      result.repeat(' ', static_cast<std::size_t>(spaces), self.source);
      column += spaces;
    }
  }
  return result.finish(self.detail);
}

Value format_map(Engine& engine, const Value& self, const Arguments& arguments) {
  const Parameters given(engine, "format_map", arguments, {"mapping"}, 1);
  if (!given[0].is(Type::kDict)) engine.fail("format_map needs a dict", type_name(given[0]));
  ListBuilder unused(engine, 0);
  Named* named = engine.arena.array<Named>(given[0].dict->size);
  std::size_t names = 0;
  for (const Dict::Entry& entry : given[0].dict->items())
    if (entry.key.is_string()) named[names++] = {entry.key.string(), entry.value};
  return format_braces(engine, self, {{}, {named, names}});
}

template <const char* const& name>
Value refused(Engine& engine, const Value&, const Arguments&) {
  engine.fail("a method of strings that is not supported", name);
}
constexpr const char* kEncode = "encode";
constexpr const char* kTranslate = "translate";
constexpr const char* kMakeTranslation = "maketrans";

constexpr std::array kMethods = {Method{"capitalize", changed<capitalized>},
                                 Method{"casefold", changed<folded_case>},
                                 Method{"center", justified<Side::kBoth>},
                                 Method{"count", count},
                                 Method{"encode", refused<kEncode>},
                                 Method{"endswith", has_affix<true>},
                                 Method{"expandtabs", expand_tabs},
                                 Method{"find", find<false, false>},
                                 Method{"format", format_braces},
                                 Method{"format_map", format_map},
                                 Method{"index", find<false, true>},
                                 Method{"isalnum", is<all<Property::kAlphanumeric>>},
                                 Method{"isalpha", is<all<Property::kAlphabetic>>},
                                 Method{"isascii", is<is_ascii>},
                                 Method{"isdecimal", is<all<Property::kDecimal>>},
                                 Method{"isdigit", is<all<Property::kDigit>>},
                                 Method{"isidentifier", is<is_identifier>},
                                 Method{"islower", is<is_lower>},
                                 Method{"isnumeric", is<all<Property::kNumeric>>},
                                 Method{"isprintable", is<all<Property::kPrintable>>},
                                 Method{"isspace", is<all<Property::kSpace>>},
                                 Method{"istitle", is<is_title>},
                                 Method{"isupper", is<is_upper>},
                                 Method{"join", join_method},
                                 Method{"ljust", justified<Side::kLeft>},
                                 Method{"lower", changed<lower_case>},
                                 Method{"lstrip", stripped<true, false>},
                                 Method{"maketrans", refused<kMakeTranslation>},
                                 Method{"partition", partition_left},
                                 Method{"removeprefix", without_affix<false>},
                                 Method{"removesuffix", without_affix<true>},
                                 Method{"replace", replace_method},
                                 Method{"rfind", find<true, false>},
                                 Method{"rindex", find<true, true>},
                                 Method{"rjust", justified<Side::kRight>},
                                 Method{"rpartition", partition_right},
                                 Method{"rsplit", rsplit},
                                 Method{"rstrip", stripped<false, true>},
                                 Method{"split", split},
                                 Method{"splitlines", split_lines},
                                 Method{"startswith", has_affix<false>},
                                 Method{"strip", stripped<true, true>},
                                 Method{"swapcase", changed<swapped_case>},
                                 Method{"title", changed<title_case>},
                                 Method{"translate", refused<kTranslate>},
                                 Method{"upper", changed<upper_case>},
                                 Method{"zfill", zero_filled}};

}  // namespace

const Method* find_string_method(std::string_view name) {
  const auto found =
      std::ranges::lower_bound(kMethods, name, {}, [](const Method& method) { return std::string_view(method.name); });
  return found != kMethods.end() && found->name == name ? &*found : nullptr;
}

}  // namespace tokenizer::jinja
