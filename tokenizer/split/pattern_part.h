// The parts of a regular expression, between its text and its program.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "tokenizer/split/pattern.h"

namespace tokenizer {

/// A part of a regular expression. What a repeat repeats, or a group holds, are its children.
struct PatternPart {
  static constexpr std::uint32_t kUnlimited = std::numeric_limits<std::uint32_t>::max();
  enum Kind { kSet, kSequence, kAlternatives, kRepeat, kAhead, kNotAhead, kAtomic, kAssertion };
  enum Manner { kGreedy, kLazy, kPossessive };
  Kind kind;
  std::uint32_t set = 0, least = 1, most = 1;
  Manner manner = kGreedy;
  PatternStep::Kind assertion = PatternStep::kAccept;
  std::vector<PatternPart> children = {};

  bool may_be_empty() const;
};

/// Appends the steps of `whole`, and the one that accepts, to those of `program`. Calls `too_many`, which throws, for a
/// program that would become too long.
void write_steps(const PatternPart& whole, PatternProgram& program, const std::function<void()>& too_many);

}  // namespace tokenizer
