// A for loop in progress: what `loop` is.
#pragma once

#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

class ForStatement;

struct Loop {
  const ForStatement* statement;  // of a recursive loop; else null
  Activation* outer;              // around it
  Value iterable;
  Iterator* iterator;
  int depth;  // from 1
  std::int64_t index0 = -1;
  std::int64_t known_length = -1;
  Value current = {}, before = {}, after = {};
  bool has_after = false, has_changed = false, ended = false;
  Value changed = {};  // a tuple

  bool next(Engine& engine, Value& item);
  /// Reads one ahead; false at the end.
  bool peek(Engine& engine);
  std::int64_t length(Engine& engine);
};

/// loop.index and so on, found once by name.
enum class LoopAttribute : std::uint8_t {
  kNone,
  kFirst,
  kLast,
  kIndex,
  kIndex0,
  kLength,
  kRevindex,
  kRevindex0,
  kDepth,
  kDepth0,
  kPrevitem,
  kNextitem,
};
LoopAttribute find_loop_attribute(std::string_view name);
Value loop_attribute(Engine& engine, Loop& loop, LoopAttribute which);
const Method* find_loop_method(std::string_view name);

}  // namespace tokenizer::jinja
