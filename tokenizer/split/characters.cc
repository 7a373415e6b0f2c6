// The character classes that the splits of byte-level BPE tokenizers are written in. Tested by
// tests/tokenizer/parity_test.cc and pattern_test.cc.
#include "tokenizer/split/characters.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <memory>

#include "tokenizer/split/categories.h"

namespace tokenizer {
namespace {

CharacterClass classify(char32_t code, std::uint32_t category) {
  constexpr std::uint32_t kMayBeSpace = U_GC_Z_MASK | U_GC_CC_MASK;
  if ((category & kMayBeSpace) && u_isUWhiteSpace(static_cast<UChar32>(code))) return CharacterClass::kSpace;
  if (category & U_GC_L_MASK) return CharacterClass::kLetter;
  if (category & U_GC_N_MASK) return CharacterClass::kNumber;
  return CharacterClass::kOther;
}
CharacterClass classify(char32_t code) { return classify(code, U_MASK(category_of(code))); }

std::uint8_t traits_of_category(std::uint32_t category) {
  unsigned traits = 0;
  if (category & (U_GC_LU_MASK | U_GC_LT_MASK | U_GC_LM_MASK | U_GC_LO_MASK | U_GC_M_MASK)) traits |= kUpperLike;
  if (category & (U_GC_LL_MASK | U_GC_LM_MASK | U_GC_LO_MASK | U_GC_M_MASK)) traits |= kLowerLike;
  if (category & U_GC_L_MASK) traits |= kLetterTrait;
  if (category & U_GC_M_MASK) traits |= kMarkTrait;
  if (category & (U_GC_P_MASK | U_GC_S_MASK)) traits |= kPunctuationTrait;
  return static_cast<std::uint8_t>(traits);
}

// The basic plane as tables (128 kB, filled at the start of the program); ICU answers for the rest.
struct BasicPlane {
  std::array<CharacterClass, 0x10000> classes;
  std::array<std::uint8_t, 0x10000> traits;
  BasicPlane() {
    u_enumCharTypes(
        [](const void* self, UChar32 first, UChar32 limit, UCharCategory category) -> UBool {
          const auto to = static_cast<BasicPlane*>(const_cast<void*>(self));
          if (first < 0x10000) to->fill(first, std::min<char32_t>(limit, 0x10000) - 1, category);
          return first < 0x10000;
        },
        this);
    newer_categories(
        [](void* self, char32_t first, char32_t last, std::uint8_t category) {
          if (last < 0x10000) static_cast<BasicPlane*>(self)->fill(first, last, category);
        },
        this);
  }
  void fill(char32_t first, char32_t last, std::uint8_t category) {
    const std::uint32_t mask = U_MASK(category);
    for (char32_t c = first; c <= last; ++c) {
      classes[c] = classify(c, mask);
      traits[c] = traits_of_category(mask);
    }
  }
};
const BasicPlane& basic_plane() {
  static const auto tables = std::make_unique<const BasicPlane>();
  return *tables;
}
const std::array<CharacterClass, 0x10000>& kBasicPlane = basic_plane().classes;
const std::array<std::uint8_t, 0x10000>& kBasicTraits = basic_plane().traits;

// GPT-2's bytes_to_unicode: printable Latin-1 stands for itself, the 68 others for U+0100 onwards in order.
constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct ByteAlphabet {
  std::array<char32_t, 256> character{};
  std::array<std::int16_t, 0x144> byte{};  // -1: none
};
constexpr ByteAlphabet kAlphabet = [] {
  ByteAlphabet alphabet;
  alphabet.byte.fill(-1);
  char32_t next = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    alphabet.character[b] = stands_for_itself(b) ? b : next++;
    alphabet.byte[alphabet.character[b]] = static_cast<std::int16_t>(b);
  }
  return alphabet;
}();

}  // namespace

std::uint8_t traits_of(char32_t code) {
  return code < 0x10000 ? kBasicTraits[code] : code == kInvalid ? 0 : traits_of_category(U_MASK(category_of(code)));
}

CharacterClass class_of(char32_t code) { return code < 0x10000 ? kBasicPlane[code] : classify(code); }

Character wide_character_at(std::string_view text, std::size_t position) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data()) + position;
  const std::size_t left = text.size() - position;
  const unsigned first = p[0];
  const auto continues = [&](std::size_t i) { return (p[i] & 0xC0) == 0x80; };
  if (first >= 0xC2 && first < 0xE0 && left >= 2 && continues(1)) {
    const char32_t code = (first & 0x1F) << 6 | (p[1] & 0x3F);
    return {code, kBasicPlane[code], 2};
  }
  if (first >= 0xE0 && first < 0xF0 && left >= 3 && continues(1) && continues(2)) {
    const char32_t code = (first & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    if (code >= 0x800 && (code < 0xD800 || code > 0xDFFF)) return {code, kBasicPlane[code], 3};
  }
  if (first >= 0xF0 && first < 0xF5 && left >= 4 && continues(1) && continues(2) && continues(3)) {
    const char32_t code = (first & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F);
    if (code >= 0x10000 && code <= 0x10FFFF) return {code, classify(code), 4};
  }
  return {kInvalid, CharacterClass::kOther, 1};
}

std::size_t character_before(std::string_view text, std::size_t position) {
  std::size_t i = position - 1;
  for (int steps = 0; steps < 3 && i > 0 && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80; ++steps) --i;
  return i + character_at(text.substr(0, position), i).size == position ? i : position - 1;
}

bool is_word(char32_t code) {
  if (code == kInvalid) return false;
  const auto c = static_cast<UChar32>(code);
  return u_isUAlphabetic(c) ||
         (U_MASK(category_of(code)) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) ||
         u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL);
}

char32_t byte_character(unsigned char byte) { return kAlphabet.character[byte]; }

bool bytes_of_token(std::string_view token, std::string& bytes) {
  bytes.resize(token.size());
  char* to = bytes.data();
  for (std::size_t i = 0; i < token.size();) {
    const auto first = static_cast<unsigned char>(token[i++]);
    std::size_t code = first;
    if (first >= 0x80) {  // the alphabet has characters of one and of two bytes
      if (first < 0xC2 || i == token.size() || (token[i] & 0xC0) != 0x80) return false;
      code = static_cast<std::size_t>(first & 0x3F) << 6 | (token[i++] & 0x3F);
    }
    if (code >= kAlphabet.byte.size() || kAlphabet.byte[code] < 0) return false;
    *to++ = static_cast<char>(kAlphabet.byte[code]);
  }
  bytes.resize(static_cast<std::size_t>(to - bytes.data()));
  return true;
}

std::string token_of_bytes(std::string_view bytes) {
  std::size_t size = 0;
  for (const char b : bytes) size += kAlphabet.character[static_cast<unsigned char>(b)] < 0x80 ? 1 : 2;
  std::string token(size, '\0');
  char* to = token.data();
  for (const char b : bytes) {
    const char32_t code = kAlphabet.character[static_cast<unsigned char>(b)];
    if (code < 0x80) {
      *to++ = static_cast<char>(code);
    } else {
      *to++ = static_cast<char>(0xC0 | code >> 6);
      *to++ = static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  return token;
}

}  // namespace tokenizer
