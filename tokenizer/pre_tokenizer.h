// Cutting a text into the pieces that BPE may not merge across.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/characters.h"

namespace tokenizer {

/// One step of a pre-tokenizer. Steps apply in order, each to the pieces of the one before, as in a Sequence of the
/// tokenizers package.
enum class SplitStep {
  kDigits,           ///< every \p{N} alone (Digits, individual_digits)
  kDigitRuns,        ///< runs of \p{N} alone (Digits)
  kGpt2,             ///< GPT-2's pattern (ByteLevel with use_regex)
  kLlama3,           ///< Llama 3's pattern: up to three digits together
  kQwen2,            ///< Qwen 2's pattern: Llama 3's with single digits
  kPrefixSpace,      ///< a blank before a piece that does not begin with one (ByteLevel with add_prefix_space)
  kMetaspaceAlways,  ///< blanks become "▁"; one before every piece that does not begin with it
  kMetaspaceFirst,   ///< the same, only at the very beginning of the text
  kMetaspaceNever,   ///< blanks become "▁"
  kMetaspaceRuns,    ///< cut before every "▁" (Metaspace with split)
  kMetaspaceWords,   ///< cut before every "▁" that follows another character (ours: changes no id, see BpeModel)
};

/// The patterns, exactly as tokenizer.json files write them.
inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// The step of a pattern, nothing for one we do not know.
std::optional<SplitStep> step_of_pattern(std::string_view pattern);

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
