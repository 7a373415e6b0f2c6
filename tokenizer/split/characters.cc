#include "tokenizer/split/characters.h"

#include <unicode/uchar.h>

#include <array>
#include <memory>

#include "base/unicode.h"

namespace tokenizer {
namespace {

// Letters and numbers of Unicode 15.1 and 16, which tokenizers 0.23 knows and Debian's ICU 72 does not yet.
struct Range {
  char32_t first, last;
  CharacterClass type;
};
constexpr Range kNewer[] = {{0x1C89, 0x1C8A, CharacterClass::kLetter},   {0xA7CB, 0xA7CD, CharacterClass::kLetter},
                            {0xA7DA, 0xA7DC, CharacterClass::kLetter},   {0x105C0, 0x105F3, CharacterClass::kLetter},
                            {0x10D40, 0x10D49, CharacterClass::kNumber}, {0x10D4A, 0x10D65, CharacterClass::kLetter},
                            {0x10D6F, 0x10D85, CharacterClass::kLetter}, {0x10EC2, 0x10EC4, CharacterClass::kLetter},
                            {0x11380, 0x11389, CharacterClass::kLetter}, {0x1138B, 0x1138B, CharacterClass::kLetter},
                            {0x1138E, 0x1138E, CharacterClass::kLetter}, {0x11390, 0x113B5, CharacterClass::kLetter},
                            {0x113B7, 0x113B7, CharacterClass::kLetter}, {0x113D1, 0x113D1, CharacterClass::kLetter},
                            {0x113D3, 0x113D3, CharacterClass::kLetter}, {0x116D0, 0x116E3, CharacterClass::kNumber},
                            {0x11BC0, 0x11BE0, CharacterClass::kLetter}, {0x11BF0, 0x11BF9, CharacterClass::kNumber},
                            {0x13460, 0x143FA, CharacterClass::kLetter}, {0x16100, 0x1611D, CharacterClass::kLetter},
                            {0x16130, 0x16139, CharacterClass::kNumber}, {0x16D40, 0x16D6C, CharacterClass::kLetter},
                            {0x16D70, 0x16D79, CharacterClass::kNumber}, {0x18CFF, 0x18CFF, CharacterClass::kLetter},
                            {0x1CCF0, 0x1CCF9, CharacterClass::kNumber}, {0x1E5D0, 0x1E5ED, CharacterClass::kLetter},
                            {0x1E5F0, 0x1E5F0, CharacterClass::kLetter}, {0x1E5F1, 0x1E5FA, CharacterClass::kNumber},
                            {0x2EBF0, 0x2EE5D, CharacterClass::kLetter}};

CharacterClass classify(char32_t code) {
  const auto c = static_cast<UChar32>(code);
  if (u_isUWhiteSpace(c)) return CharacterClass::kSpace;
  const std::uint32_t category = U_MASK(u_charType(c));
  if (category == U_GC_CN_MASK)
    for (const Range& range : kNewer)
      if (code >= range.first && code <= range.last) return range.type;
  if (category & U_GC_L_MASK) return CharacterClass::kLetter;
  if (category & U_GC_N_MASK) return CharacterClass::kNumber;
  return CharacterClass::kOther;
}

// The basic plane as a table (64 kB, 0.5 ms to fill); ICU answers for the rest.
const std::array<CharacterClass, 0x10000>& basic_plane() {
  static const auto table = [] {
    auto filled = std::make_unique<std::array<CharacterClass, 0x10000>>();
    for (char32_t c = 0; c < 0x10000; ++c) (*filled)[c] = classify(c);
    return filled;
  }();
  return *table;
}
const std::array<CharacterClass, 0x10000>& kBasicPlane = basic_plane();

// GPT-2's bytes_to_unicode: printable Latin-1 stands for itself, the 68 others for U+0100 onwards in order.
bool stands_for_itself(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct ByteAlphabet {
  std::array<char32_t, 256> character{};
  std::array<std::int16_t, 0x144> byte{};
  ByteAlphabet() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      character[b] = stands_for_itself(b) ? b : next++;
      byte[character[b]] = static_cast<std::int16_t>(b);
    }
  }
};

const ByteAlphabet& alphabet() {
  static const ByteAlphabet instance;
  return instance;
}

}  // namespace

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

bool is_word(char32_t code) {
  if (code == kInvalid) return false;
  const auto c = static_cast<UChar32>(code);
  return u_isUAlphabetic(c) || (U_MASK(u_charType(c)) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) ||
         u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL);
}

char32_t byte_character(unsigned char byte) { return alphabet().character[byte]; }

bool bytes_of_token(std::string_view token, std::string& bytes) {
  bytes.clear();
  for (std::size_t i = 0; i < token.size();) {
    const Character c = character_at(token, i);
    if (c.code >= alphabet().byte.size() || alphabet().byte[c.code] < 0) return false;
    bytes += static_cast<char>(alphabet().byte[c.code]);
    i += c.size;
  }
  return true;
}

std::string token_of_bytes(std::string_view bytes) {
  std::string token;
  for (const char b : bytes) base::append_utf8(token, byte_character(static_cast<unsigned char>(b)));
  return token;
}

}  // namespace tokenizer
