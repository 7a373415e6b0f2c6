// A set of characters of a regular expression: what a class, \p{..} or a single letter stands for.
#pragma once

#include <unicode/uniset.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tokenizer/split/characters.h"

namespace tokenizer {

/// Being built: a set of code points, and whether a byte that is no UTF-8 belongs to it (as to every negated set).
struct SetBuilder {
  icu::UnicodeSet codes;
  bool invalid = false;

  void add(const SetBuilder& other);
  void keep(const SetBuilder& other);
  void negate();
  /// Every other case of its letters too. False where a letter folds to several ("ß"), which one character cannot
  /// match.
  bool close_over_case();
};

/// \p{NAME}: a general category by its short name ("L", "Lu"), or a script. False for one that is not known.
bool set_of_property(std::string_view name, SetBuilder& set);
SetBuilder set_of_white_space();
/// \w. Rust counts join controls; Oniguruma, but not inside a class, a few numbers of Latin-1.
enum class WordKind : std::uint8_t { kPlain, kRust, kOniguruma };
SetBuilder set_of_word(WordKind kind);

/// Ready for lookups.
class CharacterSet {
 public:
  explicit CharacterSet(const SetBuilder& set);
  bool contains(char32_t code) const {
    if (code < 0x10000) return basic_[code >> 6] >> (code & 63) & 1;
    return code == kInvalid ? invalid_ : beyond(code);
  }

 private:
  bool beyond(char32_t code) const;
  std::array<std::uint64_t, 1024> basic_{};
  std::vector<std::pair<char32_t, char32_t>> beyond_;  // sorted ranges
  bool invalid_;
};

}  // namespace tokenizer
