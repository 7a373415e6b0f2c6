#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

using enum CharacterClass;

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

}  // namespace

std::size_t piece_end_gpt2(std::string_view text, std::size_t position) {
  Character c = character_at(text, position);
  if (c.code == '\'') {
    const std::size_t end = contraction_end(text, position, false);
    if (end != position) return end;
  }
  std::size_t i = position;
  if (c.code == ' ' && i + 1 < text.size()) c = character_at(text, ++i);
  if (c.type == kSpace) return space_end(text, position);
  return run_end(text, i + c.size, c.type);
}

std::size_t piece_end_llama3(std::string_view text, std::size_t position, int digits) {
  const Character c = character_at(text, position);
  const std::size_t after = position + c.size;
  if (c.code == '\'') {
    const std::size_t end = contraction_end(text, position, true);
    if (end != position) return end;
  }
  if (c.type == kLetter) return run_end(text, after, kLetter);
  if (c.type == kNumber) {
    std::size_t end = after;
    for (int taken = 1; taken < digits && end < text.size(); ++taken) {
      const Character digit = character_at(text, end);
      if (digit.type != kNumber) break;
      end += digit.size;
    }
    return end;
  }
  const Character following = after < text.size() ? character_at(text, after) : Character{kInvalid, kSpace, 0};
  if (!is_newline(c.code) && following.type == kLetter) return run_end(text, after, kLetter);
  if (c.type == kOther || (c.code == ' ' && following.type == kOther)) {
    std::size_t end = run_end(text, after, kOther);
    while (end < text.size() && is_newline(static_cast<unsigned char>(text[end]))) ++end;
    return end;
  }
  // \s*[\r\n]+ : white space up to its last line end.
  std::size_t last_newline = position;
  for (std::size_t i = position; i < text.size();) {
    const Character space = character_at(text, i);
    if (space.type != kSpace) break;
    i += space.size;
    if (is_newline(space.code)) last_newline = i;
  }
  return last_newline != position ? last_newline : space_end(text, position);
}

}  // namespace tokenizer
