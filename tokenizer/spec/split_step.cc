// How a text is cut into the pieces that BPE may not merge across, as data. Tested by tests/tokenizer/pattern_test.cc
// and convert_test.cc.
#include "tokenizer/spec/split_step.h"

#include <algorithm>
#include <array>

namespace tokenizer {
namespace {

struct KnownPattern {
  SplitStep::Kind kind;
  std::string_view text;
  bool in_rust_only = false;  // its "$" or "{1,3}+" means something else to Oniguruma
};

// Of the texts of one kind the first is the one that is written.
constexpr std::array kPatterns = {
    KnownPattern{SplitStep::kGpt2, kGpt2Pattern},
    KnownPattern{SplitStep::kGpt2, R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)",
                 true},
    KnownPattern{SplitStep::kLlama3, kLlama3Pattern},
    KnownPattern{
        SplitStep::kQwen2,
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    KnownPattern{
        SplitStep::kQwen35,
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    KnownPattern{
        SplitStep::kCl100k,
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
        true},
    KnownPattern{
        SplitStep::kO200k,
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    KnownPattern{
        SplitStep::kTekken,
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    KnownPattern{SplitStep::kDeepSeek3,
                 "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
                 "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"},
};

}  // namespace

SplitStep step_of_pattern(std::string_view pattern, Dialect dialect) {
  const auto known = std::ranges::find(kPatterns, pattern, &KnownPattern::text);
  if (known == kPatterns.end() || (known->in_rust_only && dialect != Dialect::kRust))
    return {std::string(pattern), dialect};
  return known->kind;
}

std::string pattern_of_step(const SplitStep& step) {
  if (step.kind == SplitStep::kPattern) return step.pattern;
  const auto known = std::ranges::find(kPatterns, step.kind, &KnownPattern::kind);
  return known == kPatterns.end() ? "" : std::string(known->text);
}

}  // namespace tokenizer
