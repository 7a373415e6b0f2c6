// Cutting a text into the pieces that BPE may not merge across.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec/split_step.h"
#include "tokenizer/split/characters.h"

namespace tokenizer {

inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // "▁"

/// The end of the first piece of `text` from `position` under one of the three patterns. position < text.size().
/// Linear in the piece's length, plus the white space after it.
std::size_t piece_end_gpt2(std::string_view text, std::size_t position);
std::size_t piece_end_llama3(std::string_view text, std::size_t position, int digits);

/// Calls `sink(piece, readable)` for every piece of `text`, in order, with the steps from `step` on. `first`: the text
/// begins the whole input. `readable`: the end of the memory that `text` lies in, at or after its own end. A piece
/// lives during its call only: steps that add characters work on a copy, which `sink.begin_copy(text, copy)` and
/// `sink.end_copy()` are told of, where the sink has them.
template <class Sink>
void pre_tokenize(const std::vector<SplitStep>& steps, std::size_t step, std::string_view text, const char* readable,
                  bool first, Sink& sink) {
  if (text.empty()) return;
  if (step == steps.size()) return sink(text, readable);
  const auto next = [&](std::size_t begin, std::size_t end) {
    pre_tokenize(steps, step + 1, text.substr(begin, end - begin), readable, first && begin == 0, sink);
  };
  const auto pass_copy = [&](const std::string& copy) {
    if constexpr (requires { sink.begin_copy(text, copy); }) sink.begin_copy(text, copy);
    pre_tokenize(steps, step + 1, copy, copy.data() + copy.size(), first, sink);
    if constexpr (requires { sink.end_copy(); }) sink.end_copy();
  };
  const bool last = step + 1 == steps.size();
  switch (steps[step]) {
    case SplitStep::kDigits:
    case SplitStep::kDigitRuns: {
      const bool runs = steps[step] == SplitStep::kDigitRuns;
      std::size_t begin = 0, i = 0;
      bool in_digits = false;
      while (i < text.size()) {
        const Character c = character_at(text, i);
        const bool digit = c.type == CharacterClass::kNumber;
        if (i > begin && (digit != in_digits || (digit && !runs))) {
          next(begin, i);
          begin = i;
        }
        in_digits = digit;
        i += c.size;
      }
      return next(begin, text.size());
    }
    case SplitStep::kGpt2:
      for (std::size_t i = 0; i < text.size();) {
        const std::size_t end = piece_end_gpt2(text, i);
        last ? sink(text.substr(i, end - i), readable) : next(i, end);
        i = end;
      }
      return;
    case SplitStep::kLlama3:
    case SplitStep::kQwen2: {
      const int digits = steps[step] == SplitStep::kLlama3 ? 3 : 1;
      for (std::size_t i = 0; i < text.size();) {
        const std::size_t end = piece_end_llama3(text, i, digits);
        last ? sink(text.substr(i, end - i), readable) : next(i, end);
        i = end;
      }
      return;
    }
    case SplitStep::kPrefixSpace:
      return text.front() == ' ' ? next(0, text.size()) : pass_copy(" " + std::string(text));
    case SplitStep::kMetaspaceAlways:
    case SplitStep::kMetaspaceFirst:
    case SplitStep::kMetaspaceNever: {
      std::string copy;
      copy.reserve(text.size() + text.size() / 2);
      for (const char c : text) c == ' ' ? copy.append(kMetaspace) : copy.append(1, c);
      const bool wanted =
          steps[step] == SplitStep::kMetaspaceAlways || (steps[step] == SplitStep::kMetaspaceFirst && first);
      if (wanted && !copy.starts_with(kMetaspace)) copy.insert(0, kMetaspace);
      return pass_copy(copy);
    }
    case SplitStep::kMetaspaceRuns: {
      std::size_t begin = 0;
      for (;;) {
        const std::size_t end = std::min(text.find(kMetaspace, begin + 1), text.size());
        next(begin, end);
        if (end == text.size()) return;
        begin = end;
      }
    }
    case SplitStep::kMetaspaceWords: {
      std::size_t begin = 0;
      while (begin < text.size()) {
        std::size_t end = begin;
        while (text.substr(end).starts_with(kMetaspace)) end += kMetaspace.size();
        end = std::min(text.find(kMetaspace, end), text.size());
        next(begin, end);
        begin = end;
      }
      return;
    }
  }
}

}  // namespace tokenizer
