// Operations on strings that methods and filters share. All keep where each character came from.
#pragma once

#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

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
