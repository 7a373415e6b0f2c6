// Regular expressions of tokenizer files, with what these use and RE2 lacks: look-ahead and possessive repeats.
// Tested by tests/tokenizer/pattern_test.cc.
#include "tokenizer/split/pattern.h"

#include "base/error.h"
#include "base/text.h"

namespace tokenizer {

void Pattern::spend(std::string_view text, std::size_t steps, Workspace& workspace) const {
  constexpr std::uint64_t kFree = 20'000'000, kOfAByte = 2000;  // real patterns spend below 20 on a byte
  workspace.spent += steps;
  if (workspace.spent > kFree + kOfAByte * text.size())
    throw base::Error({"a pattern of the tokenizer takes too long on this text", "", base::shortened(text_, 200),
                       "a pattern that does not try the same characters again and again",
                       "use another tokenizer file of the model, or a shorter text"});
}

bool Pattern::holds(PatternStep::Kind kind, std::string_view text, std::size_t position) const {
  const auto is_word_at = [&](std::size_t i) {
    return program_.sets[program_.word_set].contains(character_at(text, i).code);
  };
  const bool at_end = position == text.size();
  switch (kind) {
    case PatternStep::kTextBegin:
      return position == 0;
    case PatternStep::kTextEnd:
      return at_end;
    case PatternStep::kLineBegin:
      return position == 0 || (text[position - 1] == '\n' && !at_end);
    case PatternStep::kLineEnd:
      return at_end || text[position] == '\n';
    case PatternStep::kLastLineEnd:
      return at_end || (text[position] == '\n' && position + 1 == text.size());
    case PatternStep::kWordEdge:
    case PatternStep::kNoWordEdge: {
      const bool before = position > 0 && is_word_at(character_before(text, position));
      const bool after = !at_end && is_word_at(position);
      return (before != after) == (kind == PatternStep::kWordEdge);
    }
    default:
      return false;
  }
}

// Where the match from `position` ends.
std::optional<std::size_t> Pattern::run(std::string_view text, std::uint32_t step, std::size_t position,
                                        Workspace& workspace) const {
  auto& choices = workspace.choices;
  const std::size_t bottom = choices.size();
  for (;;) {
    const PatternStep& now = program_.steps[step];
    bool fits = true;
    spend(text, 1, workspace);
    switch (now.kind) {
      case PatternStep::kCharacter: {
        fits = position < text.size();
        if (!fits) break;
        const Character c = character_at(text, position);
        fits = program_.sets[now.set].contains(c.code);
        position += c.size;
        ++step;
        break;
      }
      case PatternStep::kRun: {
        const CharacterSet& set = program_.sets[now.set];
        std::size_t floor = position, end = position;
        std::uint32_t count = 0;
        while (count < now.most && end < text.size()) {
          const Character c = character_at(text, end);
          if (!set.contains(c.code)) break;
          end += c.size;
          if (++count == now.least) floor = end;
        }
        spend(text, count, workspace);
        fits = count >= now.least;
        position = end;
        ++step;
        if (fits && !now.possessive && end > floor) choices.push_back({step, character_before(text, end), floor});
        break;
      }
      case PatternStep::kChoice:
        choices.push_back({now.target, position, position});
        ++step;
        break;
      case PatternStep::kJump:
        step = now.target;
        break;
      case PatternStep::kAhead:
      case PatternStep::kNotAhead:
        fits = run(text, step + 1, position, workspace).has_value() == (now.kind == PatternStep::kAhead);
        step = now.target;
        break;
      case PatternStep::kAtomic: {
        const auto end = run(text, step + 1, position, workspace);
        fits = end.has_value();
        position = end.value_or(position);
        step = now.target;
        break;
      }
      case PatternStep::kAccept:
        choices.resize(bottom);
        return position;
      default:
        fits = holds(now.kind, text, position);
        ++step;
    }
    if (fits) continue;
    if (choices.size() == bottom) return std::nullopt;
    auto& choice = choices.back();
    step = choice.step;
    position = choice.position;
    if (choice.position > choice.floor)
      choice.position = character_before(text, choice.position);
    else
      choices.pop_back();
  }
}

std::optional<ByteRange> Pattern::find(std::string_view text, std::size_t from, Workspace& workspace) const {
  // Where a match begins with a character of a set, no other place is worth a try.
  const PatternStep& first = program_.steps[0];
  const bool needs_first =
      first.kind == PatternStep::kCharacter || (first.kind == PatternStep::kRun && first.least > 0);
  for (std::size_t begin = from; begin <= text.size();) {
    if (needs_first) {
      const CharacterSet& set = program_.sets[first.set];
      for (Character c; begin < text.size() && (c = character_at(text, begin), !set.contains(c.code));) begin += c.size;
      if (begin == text.size()) break;
    }
    if (const auto end = run(text, 0, begin, workspace)) return ByteRange{begin, *end};
    if (begin == text.size()) break;
    begin += character_at(text, begin).size;
  }
  return std::nullopt;
}

}  // namespace tokenizer
