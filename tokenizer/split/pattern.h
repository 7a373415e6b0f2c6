// Regular expressions of tokenizer files, with what these use and RE2 lacks: look-ahead and possessive repeats.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec/encoding.h"
#include "tokenizer/spec/split_step.h"
#include "tokenizer/split/character_set.h"

namespace tokenizer {

/// One step of a pattern's program. A step that may fail goes back to the latest choice that is left.
struct PatternStep {
  enum Kind : std::uint8_t {
    kCharacter,  ///< one character of `set`
    kRun,        ///< `least` to `most` characters of `set`, as many as possible; gives back one by one, or never
    kChoice,     ///< goes on behind it, and at `target` when that fails
    kJump,       ///< goes on at `target`
    kAhead,      ///< what follows up to its kAccept must match here; goes on at `target`
    kNotAhead,   ///< must not match here
    kAtomic,     ///< must match; goes on behind the match, which is never taken back
    kTextBegin,
    kTextEnd,
    kLineBegin,
    kLineEnd,
    kLastLineEnd,  ///< the end, or before a line end that ends the text
    kWordEdge,
    kNoWordEdge,
    kAccept
  };
  Kind kind = kAccept;
  bool possessive = false;
  std::uint32_t set = 0, target = 0, least = 0, most = 0;
};

struct PatternProgram {
  std::vector<PatternStep> steps;
  std::vector<CharacterSet> sets;
  std::uint32_t word_set = 0;  ///< of kWordEdge
};

/// Throws Error for what is not understood, naming it: a pattern that is read otherwise than it was meant is worse than
/// none.
PatternProgram parse_pattern(std::string_view pattern, Dialect dialect);

/// Immutable once made; any thread.
class Pattern {
 public:
  Pattern(std::string_view pattern, Dialect dialect) : text_(pattern), program_(parse_pattern(pattern, dialect)) {}

  /// Buffers of one text.
  struct Workspace {
    struct Choice {
      std::uint32_t step;
      std::size_t position, floor;  // positions from `floor` to `position` are left to try
    };
    std::vector<Choice> choices;
    std::uint64_t spent = 0;
  };
  /// The leftmost match from `from` on, as a backtracking engine finds it (the first alternative that matches). Throws
  /// Error where that takes far more steps than a text of this length may cost.
  std::optional<ByteRange> find(std::string_view text, std::size_t from, Workspace& workspace) const;

 private:
  std::optional<std::size_t> run(std::string_view text, std::uint32_t step, std::size_t position,
                                 Workspace& workspace) const;
  bool holds(PatternStep::Kind kind, std::string_view text, std::size_t position) const;
  void spend(std::string_view text, std::size_t steps, Workspace& workspace) const;

  std::string text_;
  PatternProgram program_;
};

}  // namespace tokenizer
