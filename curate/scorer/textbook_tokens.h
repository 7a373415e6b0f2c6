// The tokens that the textbook model sees: how a text is written, not what it is about.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace curate {

/// A run of letters, of digits, of both, a run of one punctuation mark, or line breaks with the indent behind them.
/// White space inside a line only separates.
enum class StyleKind : std::uint8_t { kWord, kNumber, kMixed, kMark, kBreak };

struct StyleToken {
  StyleKind kind{};
  std::uint32_t begin = 0, end = 0;  ///< bytes
  std::uint64_t hash = 0;            ///< word: of its bytes, ASCII letters lower-cased, ’ read as '
  std::uint32_t count = 0;           ///< mark: repetitions; break: line ends; word: code points
  std::uint8_t mark = 0;             ///< mark: ASCII, typographic ones read as their ASCII cousins, 0 for any other
  std::uint8_t capitals = 0;         ///< word: ASCII capitals, at most 255
  bool first_capital = false;        ///< word: begins with an ASCII capital
  bool underscore = false;           ///< mixed: has a '_'
  bool tab = false;                  ///< break: the indent has a tab
  std::uint32_t indent = 0;          ///< break: bytes of white space behind the last line end
  std::string_view text(std::string_view whole) const { return whole.substr(begin, end - begin); }
};

namespace style {

enum ByteClass : std::uint8_t {
  kSpaceByte,
  kLineByte,
  kDigitByte,
  kLetterByte,
  kCapitalByte,
  kUnderscoreByte,
  kMarkByte,
  kHighByte
};

constexpr std::array<std::uint8_t, 256> byte_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    if (c >= 0x80)
      classes[c] = kHighByte;
    else if (c == '\n')
      classes[c] = kLineByte;
    else if (c <= ' ' || c == 0x7F)
      classes[c] = kSpaceByte;
    else if (c >= '0' && c <= '9')
      classes[c] = kDigitByte;
    else if (c >= 'a' && c <= 'z')
      classes[c] = kLetterByte;
    else if (c >= 'A' && c <= 'Z')
      classes[c] = kCapitalByte;
    else
      classes[c] = c == '_' ? kUnderscoreByte : kMarkByte;
  }
  return classes;
}
inline constexpr std::array<std::uint8_t, 256> kClasses = byte_classes();

/// What stands at `at` beyond ASCII, told from the lead bytes alone: U+00A0 is a space; U+0080-U+00BF, U+2000-U+2FFF,
/// U+3000-U+303F and U+FE00-U+FFFF are marks; everything else counts as a letter. `size` is its bytes.
struct High {
  std::uint8_t byte_class = kLetterByte, mark = 0;
  std::uint32_t size = 1;
};
inline High high(std::string_view text, std::size_t at) {
  auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<std::uint8_t>(text[at + i]) : std::uint8_t{0};
  };
  const std::uint8_t lead = byte(0);
  High result;
  std::uint32_t size = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (size > text.size() - at) size = static_cast<std::uint32_t>(text.size() - at);
  result.size = size;
  if (lead == 0xC2) {
    result.byte_class = byte(1) == 0xA0 ? kSpaceByte : kMarkByte;
  } else if (lead == 0xE2) {
    result.byte_class = kMarkByte;
    if (byte(1) == 0x80) {
      const std::uint8_t last = byte(2);
      if (last >= 0x90 && last <= 0x95)
        result.mark = '-';
      else if (last >= 0x98 && last <= 0x9B)
        result.mark = '\'';
      else if (last >= 0x9C && last <= 0x9F)
        result.mark = '"';
      else if (last == 0xA2)
        result.mark = '*';
      else if (last == 0xA6)
        result.mark = '.';
      else if (last <= 0x8F || last == 0xAF)
        result.byte_class = kSpaceByte;
    }
  } else if (lead == 0xE3 && byte(1) == 0x80) {
    result.byte_class = byte(2) == 0x80 ? kSpaceByte : kMarkByte;
  } else if (lead == 0xEF && byte(1) >= 0xB8) {
    result.byte_class = kMarkByte;
  }
  return result;
}

inline std::uint64_t hash_byte(std::uint64_t hash, std::uint8_t byte) { return (hash ^ byte) * 0x100000001B3ull; }
inline constexpr std::uint64_t kHashStart = 0xCBF29CE484222325ull;  // FNV-1a
inline bool is_letter(std::uint8_t byte_class) { return byte_class == kLetterByte || byte_class == kCapitalByte; }

}  // namespace style

/// The hash of a word given in lower case, as StyleToken::hash.
inline std::uint64_t style_hash(std::string_view word) {
  std::uint64_t hash = style::kHashStart;
  for (char c : word) hash = style::hash_byte(hash, static_cast<std::uint8_t>(c));
  return hash;
}

namespace style {

inline std::uint8_t byte_at(std::string_view text, std::size_t at) { return static_cast<std::uint8_t>(text[at]); }

// The next three read a token that begins at `at` and move `at` behind it.

inline void read_break(std::string_view text, std::size_t& at, StyleToken& token) {
  token.kind = StyleKind::kBreak;
  for (; at < text.size(); ++at) {
    const std::uint8_t c = byte_at(text, at);
    if (c == '\n')
      ++token.count, token.indent = 0, token.tab = false;
    else if (kClasses[c] == kSpaceByte)
      token.indent += c != '\r', token.tab |= c == '\t';
    else
      break;
  }
}

// `wide`: what stands at `at`.
inline void read_mark(std::string_view text, const High& wide, std::size_t& at, StyleToken& token) {
  token.kind = StyleKind::kMark;
  token.mark = wide.size == 1 && byte_at(text, at) < 0x80 ? byte_at(text, at) : wide.mark;
  const std::string_view sign = text.substr(at, wide.size);
  do {
    ++token.count;
    at += wide.size;
  } while (text.substr(at, wide.size) == sign);
}

// Does a letter stand behind an apostrophe, at `at`?
inline bool letter_follows(std::string_view text, std::size_t at) {
  if (at >= text.size()) return false;
  const std::uint8_t byte_class = kClasses[byte_at(text, at)];
  return is_letter(byte_class) || (byte_class == kHighByte && high(text, at).byte_class == kLetterByte);
}

// Letters, digits and '_' in one run; an apostrophe between letters belongs to a word. `kind`: the class at `at`.
inline void read_word(std::string_view text, std::uint8_t kind, std::size_t& at, StyleToken& token) {
  bool digits = false, letters = false;
  std::uint64_t hash = kHashStart;
  std::uint8_t last = kSpaceByte;
  token.first_capital = kind == kCapitalByte;
  for (; at < text.size(); last = kind) {
    const std::uint8_t c = byte_at(text, at);
    kind = kClasses[c];
    std::uint32_t size = 1;
    if (kind == kLetterByte) {
      hash = hash_byte(hash, c);
      letters = true;
    } else if (kind == kCapitalByte) {
      hash = hash_byte(hash, c | 0x20);
      letters = true;
      token.capitals += token.capitals < 255;
    } else if (kind == kDigitByte) {
      digits = true;
    } else if (kind == kUnderscoreByte) {
      token.underscore = true;
    } else if (kind == kHighByte || c == '\'') {
      High next;
      if (kind == kHighByte) next = high(text, at);
      size = next.size;
      if (c == '\'' || next.mark == '\'') {  // wanted only between letters, in a word
        if (digits || token.underscore || !is_letter(last) || !letter_follows(text, at + size)) break;
        hash = hash_byte(hash, '\'');
        kind = kMarkByte;
      } else if (next.byte_class == kLetterByte) {
        for (std::uint32_t i = 0; i < size; ++i) hash = hash_byte(hash, byte_at(text, at + i));
        letters = true;
        kind = kLetterByte;
      } else {
        break;
      }
    } else {
      break;
    }
    at += size;
    ++token.count;
  }
  token.hash = hash;
  token.kind = token.underscore || (digits && letters) ? StyleKind::kMixed
               : digits                                ? StyleKind::kNumber
                                                       : StyleKind::kWord;
}

}  // namespace style

/// Calls `f(const StyleToken&)` for every token of the text, in order. Any bytes are accepted; one pass.
template <class F>
void for_each_style_token(std::string_view text, F&& f) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint8_t kind = style::kClasses[style::byte_at(text, at)];
    style::High wide;
    if (kind == style::kHighByte) {
      wide = style::high(text, at);
      kind = wide.byte_class;
    }
    if (kind == style::kSpaceByte) {
      at += wide.size;
      continue;
    }
    StyleToken token;
    token.begin = static_cast<std::uint32_t>(at);
    if (kind == style::kLineByte) {
      style::read_break(text, at, token);
    } else if (kind == style::kMarkByte) {
      style::read_mark(text, wide, at, token);
    } else {
      style::read_word(text, kind, at, token);
    }
    token.end = static_cast<std::uint32_t>(at);
    f(static_cast<const StyleToken&>(token));
  }
}

}  // namespace curate
