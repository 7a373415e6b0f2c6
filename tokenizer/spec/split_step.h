// How a text is cut into the pieces that BPE may not merge across, as data.
#pragma once

#include <optional>
#include <string_view>

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

}  // namespace tokenizer
