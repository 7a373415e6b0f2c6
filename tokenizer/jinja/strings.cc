// Operations on strings that methods and filters share. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/strings.h"

#include "base/unicode.h"
#include "tokenizer/jinja/unicode.h"

namespace tokenizer::jinja {

Value with_text(Engine& engine, const Value& string, std::string_view text) {
  if (text == string.string()) return string;
  const Source* source = string.source;
  if (!source || source->count == 0) return engine.copy(text, source, string.detail);
  if (text.size() != string.size) {
    // Lengths have changed, so each character's place is lost: all of it counts as of the first data in it.
    Buffer buffer;
    buffer.append(engine.arena, text, tag_of_all(*source), engine.owner);
    return engine.string_of(buffer, string.detail);
  }
  Buffer buffer;
  for_each_run(string.string(), source, [&](std::string_view part, Tag tag, std::int32_t owner) {
    buffer.append(engine.arena, text.substr(static_cast<std::size_t>(part.data() - string.text), part.size()), tag,
                  owner);
  });
  return engine.string_of(buffer, string.detail);
}

Value strip(Engine& engine, const Value& string, const Value* characters, bool left, bool right) {
  std::string_view text = string.string();
  engine.charge_bytes(text.size());
  if (!characters || characters->is(Type::kNone)) {
    if (left) text = strip_left(text);
    if (right) text = strip_right(text);
    return part_of(string, text);
  }
  if (!characters->is_string()) engine.fail("strip needs a string of characters", type_name(*characters));
  engine.charge(text.size() / 8 * (characters->size / 8 + 1));
  if (left) text = strip_left(text, characters->string());
  if (right) text = strip_right(text, characters->string());
  return part_of(string, text);
}

Value replace(Engine& engine, const Value& string, const Value& from, const Value& to, std::int64_t count) {
  const std::string_view text = string.string(), old = from.string();
  engine.charge_bytes(text.size());
  if (count < 0) count = INT64_MAX;
  std::size_t at = old.empty() ? 0 : find_text(text, old);
  if (count == 0 || at == text.npos) return string;
  TextBuilder result(engine, text.size());
  std::size_t done = 0;
  for (; count > 0 && at != text.npos; --count) {
    engine.charge();
    result.append(text.substr(done, at - done), string.source);
    result.append(to);
    done = at + old.size();
    if (!old.empty()) {
      at = find_text(text, old, done);
    } else if (at == text.size()) {
      break;
    } else {
      base::next_code_point(text, at);
    }
  }
  result.append(text.substr(done), string.source);
  return result.finish(string.detail);
}

Value join(Engine& engine, const Value& separator, const Value& items, bool convert) {
  TextBuilder result(engine);
  bool first = true;
  const auto add = [&](const Value& item) {
    if (!convert && !item.is_string()) engine.fail("join needs strings", type_name(item));
    if (!first) result.append(separator);
    first = false;
    append_str(result, item);
  };
  for_each(engine, items, add);
  return result.finish(convert ? 0 : separator.detail);
}

Value lines_of(Engine& engine, const Value& string, bool keep_ends) {
  const std::string_view text = string.string();
  engine.charge_bytes(text.size());
  ListBuilder lines(engine);
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t ending = line_end_size(text, at);
    if (ending == 0) {
      base::next_code_point(text, at);
      continue;
    }
    engine.charge();
    lines.add(part_of(string, text.substr(begin, at - begin + (keep_ends ? ending : 0))));
    begin = at += ending;
  }
  if (begin < text.size()) lines.add(part_of(string, text.substr(begin)));
  return lines.finish();
}

}  // namespace tokenizer::jinja
