// Operations on strings that methods and filters share. All keep where each character came from.
#pragma once

#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

/// As text.find(wanted, from), in a time that grows with the sum of both sizes, not with their product.
inline std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t from = 0) {
  if (wanted.size() < 2) return text.find(wanted, from);
  const void* const found = memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  return found ? static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) : text.npos;
}
/// The work of looking for `wanted` from the end, at worst.
inline void charge_backwards(Engine& engine, std::string_view text, std::string_view wanted) {
  engine.charge((text.size() / 32 + 1) * (wanted.size() + 1));
}

/// The work of changing the case of `text`.
inline void charge_case(Engine& engine, std::string_view text) {
  engine.charge(text.size() / (is_ascii(text) ? 32 : 2));
}

/// `part` lies within the text of `string`.
inline Value part_of(const Value& string, std::string_view part) {
  return Value::string_of(part, string.source, string.detail);
}
/// `text` was made of `string`'s, character by character: upper case ...
Value with_text(Engine& engine, const Value& string, std::string_view text);
/// `characters` null or None: white space.
Value strip(Engine& engine, const Value& string, const Value* characters, bool left, bool right);
/// At most `count` times; negative: all.
Value replace(Engine& engine, const Value& string, const Value& from, const Value& to, std::int64_t count);
/// With `convert`, items that are no strings are made some; else they are an error.
Value join(Engine& engine, const Value& separator, const Value& items, bool convert);
/// str.splitlines().
Value lines_of(Engine& engine, const Value& string, bool keep_ends);

}  // namespace tokenizer::jinja
