// Cutting a text into the pieces that BPE may not merge across.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec/split_step.h"
#include "tokenizer/split/characters.h"
#include "tokenizer/split/pattern.h"
#include "tokenizer/split/word_patterns.h"

namespace tokenizer {

inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // "▁"
/// What a kMetaspace.. step writes for a blank.
inline std::string_view blank_of(const SplitStep& step) {
  return step.pattern.empty() ? kMetaspace : std::string_view(step.pattern);
}

/// The pieces that `step`, a kPattern, makes of `text`: in order, never empty, without what it removes.
std::vector<ByteRange> pattern_pieces(const Pattern& pattern, const SplitStep& step, std::string_view text);
/// The pieces of one script. What stands before the first character that has a script is lost, as in the peer.
std::vector<ByteRange> script_pieces(std::string_view text);

/// A text that a step works on instead of what it got: something may stand in front, and each byte may have become
/// several.
struct ChangedCopy {
  std::string text;
  std::size_t added = 0;          ///< bytes in front
  std::size_t blank_size = 1;     ///< bytes that a blank has become
  bool in_byte_alphabet = false;  ///< each byte has become one or two
  /// How many bytes `c` has become.
  std::size_t width(char c) const {
    if (in_byte_alphabet) return byte_character(static_cast<unsigned char>(c)) < 0x80 ? 1 : 2;
    return c == ' ' ? blank_size : 1;
  }
};
/// The copy that `step` makes of `text`; `at_start`: see PreTokenizer::run.
ChangedCopy changed_copy(const SplitStep& step, std::string_view text, std::size_t at_start);

/// Immutable once made; any thread.
class PreTokenizer {
 public:
  /// Throws Error for a pattern that is not understood.
  explicit PreTokenizer(std::vector<SplitStep> steps);

  /// Calls `sink(piece, readable)` for every piece of `text`, in order. `at_start`: how many of its first bytes come
  /// from the first character of the whole input. `readable`: the end of the memory that `text` lies in, at or after
  /// its own end. A piece lives during its call only: steps that change characters work on a copy, which
  /// `sink.begin_copy(text, copy)` and `sink.end_copy()` are told of, where the sink has them.
  template <class Sink>
  void run(std::string_view text, const char* readable, std::size_t at_start, Sink& sink) const {
    run_from(0, text, readable, at_start, sink);
  }
  /// Whether a step asks what stands at the start of the input.
  bool asks_for_start() const;

 private:
  template <class Sink>
  void run_from(std::size_t step, std::string_view text, const char* readable, std::size_t at_start, Sink& sink) const;

  std::vector<SplitStep> steps_;
  std::vector<std::unique_ptr<const Pattern>> patterns_;  // of each step; null where it needs none
};

/// Calls next(begin, end) for runs of digits and what is between them; `alone`: for each digit.
template <class Next>
void for_digits(std::string_view text, bool alone, const Next& next) {
  std::size_t begin = 0, i = 0;
  bool in_digits = false;
  while (i < text.size()) {
    if (!in_digits && (i = ascii_without_digits_end(text, i)) == text.size()) break;
    const Character c = character_at(text, i);
    const bool digit = c.type == CharacterClass::kNumber;
    if (i > begin && (digit != in_digits || (digit && alone))) {
      next(begin, i);
      begin = i;
    }
    in_digits = digit;
    i += c.size;
  }
  next(begin, text.size());
}

template <class Sink>
void PreTokenizer::run_from(std::size_t step, std::string_view text, const char* readable, std::size_t at_start,
                            Sink& sink) const {
  if (text.empty()) return;
  if (step == steps_.size()) return sink(text, readable);
  const auto next = [&](std::size_t begin, std::size_t end) {
    run_from(step + 1, text.substr(begin, end - begin), readable, at_start - std::min(at_start, begin), sink);
  };
  const auto pass_copy = [&](const ChangedCopy& copy) {
    std::size_t start = at_start == 0 ? 0 : copy.added;
    for (std::size_t i = 0; i < std::min(at_start, text.size()); ++i) start += copy.width(text[i]);
    if constexpr (requires { sink.begin_copy(text, copy); }) sink.begin_copy(text, copy);
    run_from(step + 1, copy.text, copy.text.data() + copy.text.size(), start, sink);
    if constexpr (requires { sink.end_copy(); }) sink.end_copy();
  };
  const bool last = step + 1 == steps_.size();
  const auto each = [&](const auto& end_of) {
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t end = end_of(i);
      last ? sink(text.substr(i, end - i), readable) : next(i, end);
      i = end;
    }
  };
  const SplitStep::Kind kind = steps_[step].kind;
  switch (kind) {
    case SplitStep::kDigits:
    case SplitStep::kDigitRuns:
      return for_digits(text, kind == SplitStep::kDigits, next);
    case SplitStep::kGpt2:
      return each([&](std::size_t i) { return piece_end_gpt2(text, i); });
    case SplitStep::kLlama3:
      return each([&](std::size_t i) { return piece_end_llama3(text, i, 3); });
    case SplitStep::kQwen2:
      return each([&](std::size_t i) { return piece_end_llama3(text, i, 1); });
    case SplitStep::kCl100k:
      return each([&](std::size_t i) { return piece_end_llama3(text, i, 3, true); });
    case SplitStep::kQwen35:
      return each([&](std::size_t i) { return piece_end_qwen35(text, i); });
    case SplitStep::kO200k:
      return each([&](std::size_t i) { return piece_end_o200k(text, i, 3, true); });
    case SplitStep::kTekken:
      return each([&](std::size_t i) { return piece_end_o200k(text, i, 1, false); });
    case SplitStep::kDeepSeek3:
      return each([&](std::size_t i) { return piece_end_deepseek3(text, i); });
    case SplitStep::kPattern:
      for (const ByteRange piece : pattern_pieces(*patterns_[step], steps_[step], text)) next(piece.begin, piece.end);
      return;
    case SplitStep::kUnicodeScripts:
      for (const ByteRange piece : script_pieces(text)) next(piece.begin, piece.end);
      return;
    case SplitStep::kFixedLength:
      return each([&](std::size_t i) {
        for (std::uint32_t n = 0; n < steps_[step].length && i < text.size(); ++n) i += character_at(text, i).size;
        return i;
      });
    case SplitStep::kPrefixSpace:
      if (text.front() == ' ') return next(0, text.size());
      [[fallthrough]];
    case SplitStep::kMetaspaceAlways:
    case SplitStep::kMetaspaceFirst:
    case SplitStep::kMetaspaceNever:
    case SplitStep::kByteAlphabet:
      return pass_copy(changed_copy(steps_[step], text, at_start));
    case SplitStep::kMetaspaceRuns: {
      const std::string_view blank = blank_of(steps_[step]);
      return each([&](std::size_t i) { return std::min(text.find(blank, i + 1), text.size()); });
    }
    case SplitStep::kMetaspaceWords:
      return each([&](std::size_t i) {
        while (text.substr(i).starts_with(kMetaspace)) i += kMetaspace.size();
        return std::min(text.find(kMetaspace, i), text.size());
      });
  }
}

}  // namespace tokenizer
