// How a text is cut into the pieces that BPE may not merge across, as data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tokenizer {

/// Whose regular expressions a pattern is written in: they differ in "$" and in "{1,3}+".
enum class Dialect : std::uint8_t {
  kOniguruma,  ///< tokenizer.json: lines have a "$" each
  kRust        ///< tiktoken and tekken: only the text has
};

/// One step of a pre-tokenizer. Steps apply in order, each to the pieces of the one before, as in a Sequence of the
/// tokenizers package.
struct SplitStep {
  enum Kind : std::uint8_t {
    kDigits,           ///< every \p{N} alone (Digits, individual_digits)
    kDigitRuns,        ///< runs of \p{N} alone (Digits)
    kGpt2,             ///< GPT-2's pattern (ByteLevel with use_regex)
    kLlama3,           ///< Llama 3's pattern: up to three digits together
    kQwen2,            ///< Qwen 2's pattern: Llama 3's with single digits
    kQwen35,           ///< Qwen 3.5's: Qwen 2's, where marks are letters
    kCl100k,           ///< cl100k's: Llama 3's, where white space that ends the text is one piece
    kO200k,            ///< o200k's and Llama 4's: a capital begins a new piece
    kTekken,           ///< Mistral's tekken: o200k's without contractions, with single digits
    kDeepSeek3,        ///< the last of DeepSeek V3's three patterns
    kPattern,          ///< any other: `pattern`, `behavior` and `invert`
    kPrefixSpace,      ///< a blank before a piece that does not begin with one (ByteLevel with add_prefix_space)
    kMetaspaceAlways,  ///< blanks become `pattern`, or "▁" if empty; one before every piece that does not begin with it
    kMetaspaceFirst,  ///< the same, only at the very beginning of the text
    kMetaspaceNever,  ///< blanks become `pattern`, or "▁" if empty
    kMetaspaceRuns,   ///< cut before every `pattern`, or "▁" if empty (Metaspace with split)
    kMetaspaceWords,  ///< cut before every "▁" that follows another character (ours: changes no id, see BpeModel)
    kByteAlphabet,  ///< each byte becomes its character of GPT-2's byte alphabet (ByteLevel that is not the last step)
    kUnicodeScripts,  ///< cut where the script changes; blanks belong to any
    kFixedLength,     ///< pieces of `length` characters
  };
  /// What becomes of a match, as in the tokenizers package.
  enum Behavior : std::uint8_t { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

  SplitStep(Kind kind) : kind(kind) {}  // NOLINT(google-explicit-constructor): most steps are no more than their kind
  SplitStep(std::string pattern, Dialect dialect, Behavior behavior = kIsolated, bool invert = false)
      : kind(kPattern), pattern(std::move(pattern)), dialect(dialect), behavior(behavior), invert(invert) {}
  bool operator==(const SplitStep&) const = default;
  static SplitStep metaspace(Kind kind, std::string instead) {
    SplitStep step(kind);
    step.pattern = std::move(instead);
    return step;
  }
  static SplitStep fixed_length(std::uint32_t length) {
    SplitStep step(kFixedLength);
    step.length = length;
    return step;
  }

  Kind kind;
  std::string pattern;
  Dialect dialect = Dialect::kOniguruma;
  Behavior behavior = kIsolated;
  bool invert = false;  ///< what is between the matches counts as the match
  std::uint32_t length = 0;
};

/// The patterns, exactly as tokenizer files write them.
inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// The step of an isolating pattern: a kind of its own for those that we match without a regular expression.
SplitStep step_of_pattern(std::string_view pattern, Dialect dialect);
/// The pattern that `step`, a kind of its own or kPattern, stands for; "" for one that stands for none.
std::string pattern_of_step(const SplitStep& step);

}  // namespace tokenizer
