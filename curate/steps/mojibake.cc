// UTF-8 that was read as Windows-1252, put right. Tested by tests/curate/steps/unicode_step_test.cc.
#include <algorithm>
#include <cstring>

#include "base/unicode.h"
#include "curate/steps/unicode_step.h"

namespace curate {
namespace {

constexpr char32_t kNoBreakSpace = 0xA0;

// The byte that Windows-1252 shows as `c` (where it defines none: the C1 control, as browsers do), or -1.
int windows_byte(char32_t c) {
  if ((c >= 0xA0 && c <= 0xFF) || (c >= 0x80 && c <= 0x9F)) return static_cast<int>(c);
  for (int byte = 0x80; c != 0 && byte < 0xA0; ++byte)
    if (windows_1252(static_cast<char32_t>(byte)) == c) return byte;
  return -1;
}

// Would a writer rather have meant this than the sequence that it was read as?
bool is_plausible(char32_t c) {
  return (c >= 0xA0 && c <= 0x24F && c != 0xAD) ||  // Latin letters and signs
         (c >= 0x370 && c <= 0x52F) ||              // Greek, Cyrillic
         (c >= 0x5D0 && c <= 0x6FF) ||              // Hebrew, Arabic
         (c >= 0x900 && c <= 0xDFF) ||              // Indic scripts
         (c >= 0x2010 && c <= 0x2044) ||            // punctuation
         (c >= 0x20A0 && c <= 0x20BF) || (c >= 0x2100 && c <= 0x22FF) || (c >= 0x2500 && c <= 0x27BF) ||
         (c >= 0x3000 && c <= 0x30FF) || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xFB00 && c <= 0xFB06) || (c >= 0x1F300 && c <= 0x1FAFF);
}

bool is_one_of(unsigned char byte, std::string_view bytes) { return bytes.find(static_cast<char>(byte)) != bytes.npos; }

// The code point that ends at `end`; a blank at the beginning of the text.
char32_t point_before(std::string_view text, std::size_t end) {
  if (end == 0) return ' ';
  std::size_t start = end - 1;
  while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
  return base::next_code_point(text, start);
}

// What stands at or behind the end of a word in good typography, as the bytes of Windows-1252: ‚„…‘’“”•–—‹›™ «»
// ©®°²³¹.
constexpr std::string_view kTypographic =
    "\x82\x84\x85\x91\x92\x93\x94\x95\x96\x97\x8B\x9B\x99\xA0\xAB\xBB\xA9\xAE\xB0\xB2\xB3\xB9";
// Of them, those that close: … ’ ” › no-break space ».
constexpr std::string_view kClosing = "\x85\x92\x94\x9B\xA0\xBB";

// Letters and marks that may be one character in UTF-8.
struct Sequence {
  std::string bytes;
  std::size_t end = 0;  // of the letters and marks, in the text
  bool spaced = false;  // one of them is a plain space: a no-break space that something has turned into it
  bool found() const { return end > 0; }
};

// The sequence that begins at `begin` with the letter of a lead byte.
Sequence find_sequence(std::string_view text, std::size_t begin) {
  std::size_t position = begin;
  const int lead = windows_byte(base::next_code_point(text, position));
  int more = lead >= 0xC2 && lead <= 0xDF ? 1 : lead >= 0xE0 && lead <= 0xEF ? 2 : lead >= 0xF0 && lead <= 0xF4 ? 3 : 0;
  Sequence sequence;
  if (more == 0) return sequence;
  sequence.bytes += static_cast<char>(lead);
  for (; more > 0 && position < text.size(); --more) {
    const char32_t c = base::next_code_point(text, position);
    sequence.spaced |= c == ' ';
    const int byte = windows_byte(c == ' ' ? kNoBreakSpace : c);
    if (byte < 0x80 || byte > 0xBF) return sequence;
    sequence.bytes += static_cast<char>(byte);
  }
  std::size_t start = 0;
  if (more == 0 && base::find_invalid_utf8(sequence.bytes) == std::string_view::npos &&
      is_plausible(base::next_code_point(sequence.bytes, start)))
    sequence.end = position;
  return sequence;
}

// May the sequence at `begin`, with no other at its side or elsewhere, be what its letters and marks say? "café »",
// "“MANHÔ".
bool may_be_meant(std::string_view text, std::size_t begin, const Sequence& sequence) {
  const std::string_view tail = std::string_view(sequence.bytes).substr(1);
  if (sequence.bytes.size() == 3 && sequence.bytes[0] != '\xE2')  // no word ends in "â€"
    return std::all_of(tail.begin(), tail.end(), [](unsigned char byte) { return is_one_of(byte, kTypographic); });
  if (sequence.bytes.size() > 2 || !is_one_of(static_cast<unsigned char>(tail[0]), kClosing)) return false;
  std::size_t behind = sequence.end;
  const bool ends_here =
      tail[0] == '\xA0' || behind == text.size() || !base::is_alpha(base::next_code_point(text, behind));
  const char32_t before = point_before(text, begin);
  return ends_here && (base::is_uppercase(before) || before == 0x201C || before == 0x2018 || before == '"' ||
                       before == '\'' || before == 0xAB);
}

// Was the plain space in the sequence at `begin`, with no other at its side, surely a no-break space? `others`: the
// text holds misread sequences. A capital neither ends a small word nor stands alone before two spaces.
bool was_no_break(std::string_view text, std::size_t begin, const Sequence& sequence, bool others) {
  const char32_t before = point_before(text, begin);
  const bool small = base::is_alpha(before) && !base::is_uppercase(before);
  const char after = sequence.end < text.size() ? text[sequence.end] : '\n';
  if (sequence.bytes == "\xC3\xA0")  // "à"
    return small ? after != '\n' || others : !base::is_alpha(before) && (after == ' ' || others);
  return sequence.bytes == "\xC2\xA0" &&  // the no-break space itself
         (small || base::is_decimal_digit(before) ||
          (before < 128 && is_one_of(static_cast<unsigned char>(before), ".,;:!?)")));
}

std::size_t repair_once(std::string& text, bool others) {
  // Every lead byte (C2..F4) is shown as a letter U+00C2..U+00F4, which is C3 8x..Bx in UTF-8.
  if (text.find('\xC3') == std::string::npos) return 0;
  std::string repaired;
  std::size_t count = 0, copied = 0;
  for (std::size_t at = text.find('\xC3'); at != std::string::npos; at = text.find('\xC3', at)) {
    const Sequence sequence = find_sequence(text, at);
    if (!sequence.found()) {
      ++at;
      continue;
    }
    bool alone = count == 0 || copied != at;
    if (alone && sequence.end < text.size() && text[sequence.end] == '\xC3') {
      const Sequence next = find_sequence(text, sequence.end);
      alone = !next.found() || next.spaced;
    }
    const bool not_first = others || count > 0;
    const bool certain = !alone || (sequence.spaced ? was_no_break(text, at, sequence, not_first)
                                                    : not_first || !may_be_meant(text, at, sequence));
    if (!certain) {
      ++at;
      continue;
    }
    repaired.append(text, copied, at - copied);
    copied = at = sequence.end;
    if (sequence.spaced && sequence.bytes == "\xC2\xA0") {
      repaired += ' ';
    } else {
      repaired += sequence.bytes;
      // Of "Ã  la" both spaces were there; in "Ã la" one stands for both.
      if (alone && sequence.spaced && at < text.size() && std::strchr(" \n,.;:!?)]", text[at]) == nullptr)
        repaired += ' ';
    }
    ++count;
  }
  if (count > 0) text = repaired.append(text, copied);
  return count;
}

}  // namespace

std::size_t repair_mojibake(std::string& text) {
  std::size_t total = 0;
  for (int round = 0; round < 3; ++round) {
    std::size_t count = repair_once(text, total > 0);
    if (count == 0) break;
    total += count;
  }
  return total;
}

}  // namespace curate
