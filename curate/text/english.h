// The English tokenizer rules of spaCy as tables: classes of code points, special cases, units.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "curate/text/words.h"

namespace curate {

namespace character {
/// What a code point is to the word splitter and to the rules; a set of bits.
enum Class : std::uint32_t {
  kPrefix = 1u << 0,        ///< cut off in front of a word ('+' only before a non-digit)
  kSuffix = 1u << 1,        ///< cut off behind a word, whatever stands before it
  kLower = 1u << 2,         ///< spaCy's ALPHA_LOWER: lower-case letters and letters without case
  kUpper = 1u << 3,         ///< ALPHA_UPPER: upper-case letters and letters without case
  kLetter = 1u << 4,        ///< ALPHA
  kBeforePeriod = 1u << 5,  ///< a final '.' behind it is cut off
  kLowerOrQuote = 1u << 6,
  kUpperOrQuote = 1u << 7,
  kIcon = 1u << 8,          ///< symbols and emoji
  kCurrency = 1u << 9,      ///< currency signs of one code point
  kHyphen = 1u << 10,       ///< - – — ~
  kAlpha = 1u << 11,        ///< Python's str.isalpha
  kSymbol = 1u << 12,       ///< datatrove's PUNCTUATION_SET
  kSpace = 1u << 13,        ///< Python's str.isspace
  kPunctuation = 1u << 14,  ///< Unicode category P*
  kSentenceEnd = 1u << 15,  ///< spaCy's sentencizer ends a sentence behind it
  kTerminal = 1u << 16,     ///< datatrove's TERMINAL_PUNCTUATION
  kDigit = 1u << 17,        ///< 0-9
};
}  // namespace character

/// A string that is cut as the table says, whatever the other rules say.
struct SpecialCase {
  std::string_view text;
  std::vector<Word> words;  ///< what it is cut into
};

/// The tables; immutable, built once, used by all threads.
class English {
 public:
  static const English& get();

  std::uint32_t classes(char32_t c) const { return pages_[page_of_[c >> 8]][c & 255]; }
  const std::array<std::uint32_t, 128>& ascii() const { return ascii_; }

  /// The special case that is exactly this text, or nullptr. `hash` is its hash_word.
  const SpecialCase* special(std::string_view text, std::uint64_t hash) const {
    return may_be_special(hash) ? find_special(text, hash) : nullptr;
  }
  const SpecialCase* special(std::string_view text) const {
    if (text.size() > longest_special_ || !may_be_special_shape(text)) return nullptr;
    return special(text, hash_word(text));
  }

  /// Is `text` a unit or a currency that is cut off behind a digit? At most `longest_unit()` code points.
  bool is_unit(std::string_view text) const;
  std::size_t longest_unit() const { return longest_unit_; }

  /// `text` as a word: its hash, its length, and what flags its characters give it.
  Word measured(std::string_view text) const;

  /// The token sequences that spaCy's second pass looks for. A trie over token hashes: state 0 is the root, and
  /// -1 is no state. A state may be the end of several sequences' common tokens; `ends_here` says that one ends.
  std::int32_t next_state(std::int32_t state, std::uint64_t token_hash) const;
  bool ends_here(std::int32_t state) const { return ends_[static_cast<std::size_t>(state)]; }
  /// False: no sequence begins with these two tokens. True: one may.
  bool may_begin(std::uint64_t first_hash, std::uint64_t second_hash) const {
    std::uint64_t key = pair_key(first_hash, second_hash);
    return (pair_filter_[key >> 6] >> (key & 63)) & 1;
  }

 private:
  English();
  static std::uint64_t pair_key(std::uint64_t first, std::uint64_t second) {
    return ((first ^ (second << 1) ^ (second >> 63)) * 0x9E3779B97F4A7C15ull) >> 48;
  }
  bool may_be_special(std::uint64_t hash) const { return (special_filter_[hash >> 54] >> ((hash >> 48) & 63)) & 1; }
  static std::size_t shape(std::string_view text) {
    return (static_cast<unsigned char>(text.front()) * 37u + static_cast<unsigned char>(text.back()) * 5u +
            text.size() * 1031u) &
           8191;
  }
  bool may_be_special_shape(std::string_view text) const {
    if (text.empty()) return false;
    std::size_t key = shape(text);
    return (shape_filter_[key >> 6] >> (key & 63)) & 1;
  }
  const SpecialCase* find_special(std::string_view text, std::uint64_t hash) const;
  void add_sequence(std::string_view text, std::string_view lengths);

  std::array<std::uint32_t, 128> ascii_{};
  std::array<std::uint16_t, 0x1100> page_of_{};
  std::vector<std::array<std::uint32_t, 256>> pages_;
  std::vector<SpecialCase> specials_;
  std::unordered_map<std::uint64_t, std::uint32_t> special_by_hash_;
  std::array<std::uint64_t, 1024> special_filter_{};
  std::array<std::uint64_t, 128> shape_filter_{};
  std::size_t longest_special_ = 0, longest_unit_ = 0;
  std::unordered_map<std::string_view, bool> units_;
  std::vector<std::unordered_map<std::uint64_t, std::int32_t>> states_;
  std::vector<bool> ends_;
  std::array<std::uint64_t, 1024> pair_filter_{};
};

}  // namespace curate
