// A for loop in progress. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/loop.h"

#include <algorithm>
#include <array>

namespace tokenizer::jinja {

bool Loop::next(Engine& engine, Value& item) {
  if (has_after) {
    item = after;
    has_after = false;
  } else if (ended || !iterator->next(engine, item)) {
    return false;
  }
  ++index0;
  before = current;
  current = item;
  return true;
}

bool Loop::peek(Engine& engine) {
  if (!has_after && !ended) {
    has_after = iterator->next(engine, after);
    ended = !has_after;
  }
  return has_after;
}

std::int64_t Loop::length(Engine& engine) {
  if (known_length >= 0) return known_length;
  known_length = jinja::length(iterable);
  if (known_length >= 0) return known_length;
  // Of what has no length, the rest is read.
  ListBuilder rest(engine);
  for (Value item; iterator->next(engine, item);) rest.add(item);
  iterator = iterate(engine, rest.finish());
  known_length = static_cast<std::int64_t>(rest.size()) + index0 + 1 + (has_after ? 1 : 0);
  return known_length;
}

LoopAttribute find_loop_attribute(std::string_view name) {
  static constexpr std::array<std::string_view, 12> kNames = {"",       "first",  "last",     "index",
                                                              "index0", "length", "revindex", "revindex0",
                                                              "depth",  "depth0", "previtem", "nextitem"};
  const auto found = std::ranges::find(kNames, name);
  return found == kNames.end() ? LoopAttribute::kNone : static_cast<LoopAttribute>(found - kNames.begin());
}

Value loop_attribute(Engine& engine, Loop& loop, LoopAttribute which) {
  switch (which) {
    case LoopAttribute::kFirst:
      return Value::boolean_of(loop.index0 == 0);
    case LoopAttribute::kLast:
      return Value::boolean_of(!loop.peek(engine));
    case LoopAttribute::kIndex:
      return Value::integer_of(loop.index0 + 1);
    case LoopAttribute::kIndex0:
      return Value::integer_of(loop.index0);
    case LoopAttribute::kLength:
      return Value::integer_of(loop.length(engine));
    case LoopAttribute::kRevindex:
      return Value::integer_of(loop.length(engine) - loop.index0);
    case LoopAttribute::kRevindex0:
      return Value::integer_of(loop.length(engine) - loop.index0 - 1);
    case LoopAttribute::kDepth:
      return Value::integer_of(loop.depth);
    case LoopAttribute::kDepth0:
      return Value::integer_of(loop.depth - 1);
    case LoopAttribute::kPrevitem:
      return loop.index0 == 0 ? Value::undefined(Missing::kHint, "there is no previous item") : loop.before;
    case LoopAttribute::kNextitem:
      return loop.peek(engine) ? loop.after : Value::undefined(Missing::kHint, "there is no next item");
    case LoopAttribute::kNone:
      break;
  }
  return {};
}

namespace {

Value cycle(Engine& engine, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty())
    engine.fail("loop.cycle needs the items to cycle through");
  return arguments.positional[static_cast<std::size_t>(self.loop->index0) % arguments.positional.size()];
}

Value changed(Engine& engine, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) engine.fail("loop.changed has no named arguments");
  Loop& loop = *self.loop;
  ListBuilder values(engine, arguments.positional.size());
  for (const Value& value : arguments.positional) values.add(value);
  const Value now = values.finish(Type::kTuple);
  if (loop.has_changed && equal(engine, loop.changed, now)) return Value::boolean_of(false);
  loop.changed = now;
  loop.has_changed = true;
  return Value::boolean_of(true);
}

constexpr std::array kMethods = {Method{"cycle", cycle}, Method{"changed", changed}};

}  // namespace

const Method* find_loop_method(std::string_view name) {
  for (const Method& method : kMethods)
    if (method.name == name) return &method;
  return nullptr;
}

}  // namespace tokenizer::jinja
