// The character classes that the splits of byte-level BPE tokenizers are written in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tokenizer {

/// \p{L}, \p{N}, \s and the rest, as the regular expressions of the tokenizers package read them. \s is Unicode's
/// White_Space, which is not Python's str.isspace: U+001C..U+001F are kOther here.
enum class CharacterClass : std::uint8_t { kOther, kLetter, kNumber, kSpace };

/// One character of a text. A byte that is not part of valid UTF-8 is a character of its own, kOther, code kInvalid.
struct Character {
  char32_t code;
  CharacterClass type;
  std::uint8_t size;  ///< bytes, 1..4
};

inline constexpr char32_t kInvalid = 0xFFFFFFFF;

/// What the newer patterns ask of a character; several may hold.
enum Trait : std::uint8_t {
  kUpperLike = 1,         ///< [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
  kLowerLike = 2,         ///< [\p{Ll}\p{Lm}\p{Lo}\p{M}]
  kLetterTrait = 4,       ///< \p{L}
  kMarkTrait = 8,         ///< \p{M}
  kPunctuationTrait = 16  ///< [\p{P}\p{S}]
};
/// The traits of a code point; none of kInvalid.
std::uint8_t traits_of(char32_t code);

/// Class of a Unicode code point.
CharacterClass class_of(char32_t code);

/// The classes of ASCII, so that plain text needs no call.
inline constexpr auto kAscii = [] {
  std::array<CharacterClass, 128> table{};
  for (unsigned c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    table[c] = letter                 ? CharacterClass::kLetter
               : c >= '0' && c <= '9' ? CharacterClass::kNumber
               : space                ? CharacterClass::kSpace
                                      : CharacterClass::kOther;
  }
  return table;
}();
Character wide_character_at(std::string_view text, std::size_t position);

/// The character at `text[position]`; position < text.size().
inline Character character_at(std::string_view text, std::size_t position) {
  const auto first = static_cast<unsigned char>(text[position]);
  if (first < 0x80) return {first, kAscii[first], 1};
  return wide_character_at(text, position);
}

/// Where the character that ends at `position`, > 0, begins.
std::size_t character_before(std::string_view text, std::size_t position);

/// `\w` of Rust's regex crate: Alphabetic, M, Nd, Pc and Join_Control.
bool is_word(char32_t code);

/// GPT-2's printable stand-in for each byte ("Ġ" for a blank): the alphabet in which byte-level vocabularies are
/// written. `byte_character(b)` is its code point, 0..0x143.
char32_t byte_character(unsigned char byte);
/// The bytes that a token written in that alphabet stands for. False when it holds another character: then the token
/// is its own text, as the tokenizers package decodes it.
bool bytes_of_token(std::string_view token, std::string& bytes);
/// `bytes` written in that alphabet.
std::string token_of_bytes(std::string_view bytes);

}  // namespace tokenizer
