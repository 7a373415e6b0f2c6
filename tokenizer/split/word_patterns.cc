// The patterns of the usual tokenizers, matched by hand: each gives the end of the first piece from a position.
// Tested by tests/tokenizer/parity_test.cc and pattern_test.cc.
#include "tokenizer/split/word_patterns.h"

#include <array>
#include <bit>

#include "tokenizer/split/characters.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tokenizer {
namespace {

using enum CharacterClass;

constexpr auto kAsciiTraits = [] {
  std::array<std::uint8_t, 128> table{};
  for (unsigned c = '!'; c <= '~'; ++c) {
    const bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9';
    table[c] = upper ? kUpperLike | kLetterTrait : lower ? kLowerLike | kLetterTrait : digit ? 0 : kPunctuationTrait;
  }
  return table;
}();

unsigned traits(const Character& c) { return c.code < 0x80 ? kAsciiTraits[c.code] : traits_of(c.code); }
bool has(const Character& c, unsigned wanted) { return traits(c) & wanted; }

// The end of the run of ASCII's small letters, or with kBothCases of all its letters, that begins at `position`.
template <bool kBothCases>
std::size_t ascii_letters_end(std::string_view text, std::size_t position) {
#if defined(__SSE2__)
  for (; position + 16 <= text.size(); position += 16) {
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + position));
    if constexpr (kBothCases) bytes = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    const __m128i letters =
        _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('a' - 1)), _mm_cmplt_epi8(bytes, _mm_set1_epi8('z' + 1)));
    const int count = std::countr_one(static_cast<unsigned>(_mm_movemask_epi8(letters)));
    if (count < 16) return position + static_cast<std::size_t>(count);
  }
#endif
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (kBothCases && c >= 'A' && c <= 'Z'); };
  while (position < text.size() && is_letter(text[position])) ++position;
  return position;
}

// The end of the run of ASCII's letters and of other characters that `more` is true of.
template <bool kBothCases = true, class More>
std::size_t letters_end(std::string_view text, std::size_t position, More more) {
  for (;;) {
    position = ascii_letters_end<kBothCases>(text, position);
    if (position == text.size() || static_cast<unsigned char>(text[position]) < 0x80) return position;
    const Character c = character_at(text, position);
    if (!more(c)) return position;
    position += c.size;
  }
}

std::size_t letters_end(std::string_view text, std::size_t position) {
  return letters_end(text, position, [](const Character& c) { return c.type == kLetter; });
}
// Of letters and marks.
std::size_t word_end(std::string_view text, std::size_t position) {
  return letters_end(text, position, [](const Character& c) { return has(c, kLetterTrait | kMarkTrait); });
}

// The end of the run of `type` that begins at `position`.
std::size_t run_end(std::string_view text, std::size_t position, CharacterClass type) {
  while (position < text.size()) {
    const Character c = character_at(text, position);
    if (c.type != type) break;
    position += c.size;
  }
  return position;
}

// \s+(?!\S)|\s+ : white space up to the end of the text, or all but its last character, or that one.
std::size_t space_end(std::string_view text, std::size_t position) {
  std::size_t before_last = position, end = position;
  while (end < text.size()) {
    const Character c = character_at(text, end);
    if (c.type != kSpace) break;
    before_last = end;
    end += c.size;
  }
  return end == text.size() || before_last == position ? end : before_last;
}

// 's|'t|'re|'ve|'m|'ll|'d after an apostrophe; the position itself when there is none.
std::size_t contraction_end(std::string_view text, std::size_t position, bool any_case) {
  const std::string_view rest = text.substr(position + 1, 2);
  const auto lower = [&](std::size_t i) {
    return any_case && rest[i] >= 'A' && rest[i] <= 'Z' ? static_cast<char>(rest[i] + 32) : rest[i];
  };
  if (rest.empty()) return position;
  switch (lower(0)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return position + 2;
    case 'r':
    case 'v':
      return rest.size() == 2 && lower(1) == 'e' ? position + 3 : position;
    case 'l':
      return rest.size() == 2 && lower(1) == 'l' ? position + 3 : position;
    case '\xC5':  // U+017F, the long s, is an s without regard to case
      return any_case && rest == "\xC5\xBF" ? position + 3 : position;
    default:
      return position;
  }
}

bool is_newline(char32_t code) { return code == '\r' || code == '\n'; }

// The end of the run of characters with one of the traits `wanted` that begins at `position`.
std::size_t trait_end(std::string_view text, std::size_t position, unsigned wanted) {
  while (position < text.size()) {
    const Character c = character_at(text, position);
    if (!has(c, wanted)) break;
    position += c.size;
  }
  return position;
}

std::size_t newlines_end(std::string_view text, std::size_t position, bool slashes = false) {
  while (position < text.size() &&
         (is_newline(static_cast<unsigned char>(text[position])) || (slashes && text[position] == '/')))
    ++position;
  return position;
}

// \p{N}{1,digits} that begins at `position`, of which `after` is the end of the first.
std::size_t digits_end(std::string_view text, std::size_t after, int digits) {
  for (int taken = 1; taken < digits && after < text.size(); ++taken) {
    const Character digit = character_at(text, after);
    if (digit.type != kNumber) break;
    after += digit.size;
  }
  return after;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ ; `end_first`: \s++$ before them.
std::size_t space_or_newlines_end(std::string_view text, std::size_t position, bool end_first = false) {
  std::size_t last_newline = position, i = position;
  while (i < text.size()) {
    const Character space = character_at(text, i);
    if (space.type != kSpace) break;
    i += space.size;
    if (is_newline(space.code)) last_newline = i;
  }
  if (last_newline == position || (end_first && i == text.size())) return space_end(text, position);
  return last_newline;
}

// The character at `position`, or one of no kind at the end of the text.
Character character_or_end(std::string_view text, std::size_t position) {
  return position < text.size() ? character_at(text, position) : Character{kInvalid, kSpace, 0};
}

}  // namespace

std::size_t ascii_without_digits_end(std::string_view text, std::size_t position) {
#if defined(__SSE2__)
  for (; position + 16 <= text.size(); position += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + position));
    const __m128i digits =
        _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('0' - 1)), _mm_cmplt_epi8(bytes, _mm_set1_epi8('9' + 1)));
    const int ends = _mm_movemask_epi8(_mm_or_si128(bytes, digits));  // beyond ASCII the highest bit is set
    if (ends != 0) return position + static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(ends)));
  }
#endif
  const auto ends = [](char c) { return static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9'); };
  while (position < text.size() && !ends(text[position])) ++position;
  return position;
}

std::size_t piece_end_gpt2(std::string_view text, std::size_t position) {
  Character c = character_at(text, position);
  if (c.code == '\'') {
    const std::size_t end = contraction_end(text, position, false);
    if (end != position) return end;
  }
  std::size_t i = position;
  if (c.code == ' ' && i + 1 < text.size()) c = character_at(text, ++i);
  if (c.type == kSpace) return space_end(text, position);
  return c.type == kLetter ? letters_end(text, i + c.size) : run_end(text, i + c.size, c.type);
}

std::size_t piece_end_llama3(std::string_view text, std::size_t position, int digits, bool end_first) {
  const Character c = character_at(text, position);
  const std::size_t after = position + c.size;
  if (c.code == '\'') {
    const std::size_t end = contraction_end(text, position, true);
    if (end != position) return end;
  }
  if (c.type == kLetter) return letters_end(text, after);
  if (c.type == kNumber) return digits_end(text, after, digits);
  const Character following = character_or_end(text, after);
  if (!is_newline(c.code) && following.type == kLetter) return letters_end(text, after);
  if (c.type == kOther || (c.code == ' ' && following.type == kOther))
    return newlines_end(text, run_end(text, after, kOther));
  return space_or_newlines_end(text, position, end_first);
}

std::size_t piece_end_qwen35(std::string_view text, std::size_t position) {
  constexpr unsigned kWord = kLetterTrait | kMarkTrait;
  const Character c = character_at(text, position);
  const std::size_t after = position + c.size;
  if (c.code == '\'') {
    const std::size_t end = contraction_end(text, position, true);
    if (end != position) return end;
  }
  if (has(c, kWord)) return word_end(text, after);
  if (c.type == kNumber) return after;
  const Character following = character_or_end(text, after);
  if (!is_newline(c.code) && has(following, kWord)) return word_end(text, after);
  if (c.type != kOther && !(c.code == ' ' && following.type == kOther)) return space_or_newlines_end(text, position);
  std::size_t end = after;
  while (end < text.size()) {
    const Character other = character_at(text, end);
    if (other.type != kOther || has(other, kMarkTrait)) break;
    end += other.size;
  }
  return newlines_end(text, end);
}

namespace {

// The two alternatives for words of o200k, without the contraction; the position itself where neither matches. `c` is
// the character there.
std::size_t cased_word_end(std::string_view text, std::size_t position, const Character& c) {
  const std::size_t after = position + c.size;
  // [^\r\n\p{L}\p{N}]? takes the first character where it can; a mark may also begin the word.
  const bool prefixed = c.type != kLetter && c.type != kNumber && !is_newline(c.code);
  if (c.type == kNumber || is_newline(c.code)) return position;
  const std::size_t begin = prefixed ? after : position;
  std::size_t end = begin, last_both = begin;
  while (end < text.size()) {
    const Character capital = character_at(text, end);
    const unsigned are = traits(capital);
    if (!(are & kUpperLike)) {
      if (are & kLowerLike)
        return letters_end<false>(text, end + capital.size, [](const Character& l) { return has(l, kLowerLike); });
      break;
    }
    end += capital.size;
    if (are & kLowerLike) last_both = end;
  }
  // [..upper..]* gives back down to the last character that is also of [..lower..].
  if (last_both > begin) return last_both;
  if (prefixed && has(c, kMarkTrait)) return after;
  return end > begin ? end : position;
}

}  // namespace

std::size_t piece_end_o200k(std::string_view text, std::size_t position, int digits, bool contractions) {
  const Character c = character_at(text, position);
  if (const std::size_t end = cased_word_end(text, position, c); end != position)
    return contractions && end < text.size() && text[end] == '\'' ? contraction_end(text, end, true) : end;
  const std::size_t after = position + c.size;
  if (c.type == kNumber) return digits_end(text, after, digits);
  if (c.type == kOther || (c.code == ' ' && character_or_end(text, after).type == kOther))
    return newlines_end(text, run_end(text, after, kOther), true);
  return space_or_newlines_end(text, position);
}

namespace {

bool is_ascii_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

// The end of the match at `position`; the position itself where no alternative matches.
std::size_t deepseek3_match_end(std::string_view text, std::size_t position) {
  constexpr unsigned kWord = kLetterTrait | kMarkTrait;
  const Character c = character_at(text, position);
  std::size_t after = position + c.size;
  if (has(c, kWord)) return word_end(text, after);
  if (c.code < 0x80 && c.type == kOther && has(c, kPunctuationTrait) && after < text.size() &&
      is_ascii_letter(text[after])) {
    while (after < text.size() && is_ascii_letter(text[after])) ++after;
    return after;
  }
  const Character following = character_or_end(text, after);
  if (has(c, kPunctuationTrait) || (c.code == ' ' && has(following, kPunctuationTrait)))
    return newlines_end(text, trait_end(text, after, kPunctuationTrait));
  if (!is_newline(c.code) && has(following, kWord)) return word_end(text, after);
  return c.type == kSpace ? space_or_newlines_end(text, position) : position;
}

}  // namespace

std::size_t piece_end_deepseek3(std::string_view text, std::size_t position) {
  for (std::size_t i = position; i < text.size(); i += character_at(text, i).size)
    if (const std::size_t end = deepseek3_match_end(text, i); end != i) return i == position ? end : i;
  return text.size();
}

}  // namespace tokenizer
