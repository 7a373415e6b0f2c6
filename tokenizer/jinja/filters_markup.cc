// The filters that escape for other languages. Tested by tests/tokenizer/jinja_test.cc.
#include <array>

#include "tokenizer/jinja/filters.h"

namespace tokenizer::jinja {

Value escape(Engine& engine, const Value& value) {
  Value text = engine.to_string(value);
  if (text.is_markup()) return text;
  engine.charge_bytes(text.size);
  static constexpr std::string_view kSpecial = "&<>'\"";
  static constexpr std::string_view kEscaped[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  const std::string_view all = text.string();
  if (all.find_first_of(kSpecial) == all.npos) {
    text.detail = kMarkup;
    return text;
  }
  TextBuilder result(engine, all.size());
  std::size_t done = 0;
  for (std::size_t at = all.find_first_of(kSpecial); at != all.npos; at = all.find_first_of(kSpecial, done)) {
    result.append(all.substr(done, at - done), text.source);
    result.append(kEscaped[kSpecial.find(all[at])], text.source && text.source->count == 0 ? text.source : nullptr);
    done = at + 1;
  }
  result.append(all.substr(done), text.source);
  return result.finish(kMarkup);
}

namespace {

Value escape_text(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "escape", arguments, {});
  return escape(engine, input);
}

Value escape_again(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "forceescape", arguments, {});
  Value text = engine.to_string(input);
  text.detail = 0;
  return escape(engine, text);
}

Value safe(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "safe", arguments, {});
  Value text = engine.to_string(input);
  text.detail = kMarkup;
  return text;
}

void append_quoted(TextBuilder& result, const Value& value, bool in_query) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  const Value text = result.engine().to_string(value);
  result.engine().charge(text.size);
  for (std::size_t i = 0; i < text.size; ++i) {
    const auto byte = static_cast<unsigned char>(text.text[i]);
    const Source* source = text.source && text.source->count == 0 ? text.source : nullptr;
    if ((byte < 0x80 && isalnum(byte)) || std::string_view("_.-~").find(text.text[i]) != std::string_view::npos ||
        (byte == '/' && !in_query))
      result.append(text.string().substr(i, 1), text.source);
    else if (byte == ' ' && in_query)
      result.append('+', source);
    else
      result.append(std::string{'%', kDigits[byte >> 4], kDigits[byte & 15]}, source);
  }
}

Value url_encode(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "urlencode", arguments, {});
  TextBuilder result(engine);
  if (input.is_string() || !is_iterable(input)) {
    append_quoted(result, input, false);
    return result.finish();
  }
  Value pairs = input;
  if (input.is(Type::kDict)) {
    pairs.type = Type::kView;
    pairs.detail = static_cast<std::uint8_t>(ViewKind::kItems);
  }
  bool first = true;
  for_each(engine, pairs, [&](const Value& item) {
    const Value pair = to_list(engine, item);
    if (pair.size != 2) engine.fail("urlencode needs pairs of key and value");
    if (!first) result.append('&');
    first = false;
    append_quoted(result, pair.items[0], true);
    result.append('=');
    append_quoted(result, pair.items[1], true);
  });
  return result.finish();
}

Value xml_attributes(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "xmlattr", arguments, {"autospace"});
  if (!input.is(Type::kDict)) engine.fail("xmlattr needs a dict", type_name(input));
  TextBuilder result(engine);
  for (const Dict::Entry& entry : input.dict->items()) {
    engine.charge();
    if (entry.value.is(Type::kNone) || entry.value.is_undefined()) continue;
    if (!entry.key.is_string() || entry.key.string().find_first_of(" \t\n\r\f\v/>=") != std::string_view::npos)
      engine.fail("this cannot be the name of an attribute",
                  entry.key.is_string() ? entry.key.string() : type_name(entry.key));
    if (result.size() > 0 || given.truth_of(0, true)) result.append(' ');
    result.append(escape(engine, entry.key));
    result.append("=\"");
    result.append(escape(engine, entry.value));
    result.append('"');
  }
  return result.finish();
}

constexpr std::array kFilters = {FilterFunction{"e", escape_text},
                                 FilterFunction{"escape", escape_text},
                                 FilterFunction{"forceescape", escape_again},
                                 FilterFunction{"safe", safe},
                                 FilterFunction{"urlencode", url_encode},
                                 FilterFunction{"xmlattr", xml_attributes}};

}  // namespace

std::span<const FilterFunction> markup_filters() { return kFilters; }

}  // namespace tokenizer::jinja
