// A text split into words as datatrove >= 0.4 does for English: the tokens of spaCy's blank("en"), white space dropped.
// Tested by tests/curate/text/words_test.cc.
#include "curate/text/spacy_words.h"

#include <algorithm>

#include "base/unicode.h"
#include "curate/text/chunk_start.h"
#include "curate/text/spacy_url.h"

namespace curate {
using namespace character;
namespace {

// Bytes of the white-space code point at `p`, or 0.
inline std::uint32_t unicode_space(const unsigned char* p, const unsigned char* end) {
  switch (*p) {
    case 0xC2:
      return end - p >= 2 && (p[1] == 0x85 || p[1] == 0xA0) ? 2 : 0;
    case 0xE1:
      return end - p >= 3 && p[1] == 0x9A && p[2] == 0x80 ? 3 : 0;
    case 0xE2:
      if (end - p < 3) return 0;
      if (p[1] == 0x80) return (p[2] <= 0x8A || p[2] == 0xA8 || p[2] == 0xA9 || p[2] == 0xAF) ? 3 : 0;
      return p[1] == 0x81 && p[2] == 0x9F ? 3 : 0;
    case 0xE3:
      return end - p >= 3 && p[1] == 0x80 && p[2] == 0x80 ? 3 : 0;
    default:
      return 0;
  }
}

}  // namespace

// A chunk between white space while it is cut: code points [first_, last_) are left.
class SpacyWords::Chunk {
 public:
  Chunk(SpacyWords& words, std::uint32_t begin, std::uint32_t end, bool ascii)
      : words_(words), begin_(begin), ascii_(ascii) {
    const char* text = words.base_.data();
    auto& classes = words.classes_;
    auto& points = words.code_points_;
    auto& offsets = words.offsets_;
    std::size_t size = end - begin;
    if (classes.size() < size + 1) {
      classes.resize(size + 1);
      points.resize(size + 1);
      offsets.resize(size + 1);
    }
    std::uint32_t count = 0;
    if (ascii) {
      const auto& table = words.english_.ascii();
      for (; count < size; ++count) {
        auto c = static_cast<unsigned char>(text[begin + count]);
        points[count] = c;
        classes[count] = table[c];
      }
    } else {
      std::size_t position = begin;
      while (position < end) {
        offsets[count] = static_cast<std::uint32_t>(position);
        char32_t c = base::next_code_point(words.base_, position);
        points[count] = c;
        classes[count++] = words.english_.classes(c);
      }
      offsets[count] = end;
    }
    classes_ = classes.data();
    points_ = points.data();
    offsets_ = offsets.data();
    last_ = count;
  }

  void cut() {
    auto& suffixes = words_.suffixes_;
    suffixes.clear();
    cut_ends(suffixes);
    if (first_ < last_) cut_middle();
    for (auto it = suffixes.rbegin(); it != suffixes.rend(); ++it) add(it->first, it->second);
  }

 private:
  std::uint32_t byte_of(std::uint32_t index) const { return ascii_ ? begin_ + index : offsets_[index]; }
  std::string_view view(std::uint32_t first, std::uint32_t last) const {
    return words_.base_.substr(byte_of(first), byte_of(last) - byte_of(first));
  }
  const SpecialCase* special(std::uint32_t first, std::uint32_t last) const {
    return words_.english_.special(view(first, last));
  }
  bool is(std::uint32_t index, std::uint32_t classes) const { return classes_[index] & classes; }

  void add(std::uint32_t first, std::uint32_t last) {
    std::uint32_t any = 0, all = ~std::uint32_t{0};
    for (std::uint32_t i = first; i < last; ++i) {
      any |= classes_[i];
      all &= classes_[i];
    }
    std::uint32_t flags = 0;
    if (any & kAlpha) flags |= Word::kHasAlpha;
    if (!(all & kSymbol)) flags |= Word::kHasNonSymbol;
    if (all & kPunctuation) flags |= Word::kAllPunctuation;
    if ((all & kSentenceEnd) && last - first == 1) flags |= Word::kEndsSentence;
    std::uint32_t begin = byte_of(first), bytes = byte_of(last) - begin;
    words_.add(begin, bytes, last - first, flags,
               hash_word(words_.base_.data() + begin, bytes, words_.base_.data() + words_.base_.size()));
  }

  // Takes prefixes and suffixes off, round after round (spaCy's _split_affixes). Prefixes are added to the words at
  // once.
  void cut_ends(std::vector<std::pair<std::uint32_t, std::uint32_t>>& suffixes) {
    while (first_ < last_) {
      if (special(first_, last_)) return;
      std::uint32_t prefix = prefix_length();
      if (prefix > 0 && first_ + prefix < last_ && special(first_ + prefix, last_)) {
        add(first_, first_ + prefix);
        first_ += prefix;
        return;
      }
      std::uint32_t suffix = suffix_length(first_ + prefix);
      if (suffix > 0 && last_ - suffix > first_ && special(first_, last_ - suffix)) {
        suffixes.emplace_back(last_ - suffix, last_);
        last_ -= suffix;
        return;
      }
      if (prefix == 0 && suffix == 0) return;
      if (prefix > 0) add(first_, first_ + prefix);
      if (suffix > 0) suffixes.emplace_back(last_ - suffix, last_);
      first_ += prefix;
      last_ -= suffix;
    }
  }

  std::uint32_t prefix_length() const {
    char32_t c = points_[first_];
    if (c == '+') return first_ + 1 < last_ && is(first_ + 1, kDigit) ? 0 : 1;
    if (is(first_, kPrefix)) return 1;
    if (c == '.') {
      std::uint32_t run = 1;
      while (first_ + run < last_ && points_[first_ + run] == '.') ++run;
      return run >= 2 ? run : 0;
    }
    if ((c == 'A' || c == 'C') && first_ + 1 < last_ && points_[first_ + 1] == '$') return 2;
    if (c == 'U' && first_ + 2 < last_ && points_[first_ + 1] == 'S' && points_[first_ + 2] == '$') return 3;
    return 0;
  }

  // Of [first, last_): what stands before `first` is not seen.
  std::uint32_t suffix_length(std::uint32_t first) const {
    if (first >= last_) return 0;
    std::uint32_t end = last_ - 1;
    char32_t c = points_[end];
    bool has_previous = end > first;
    if (c == '.') {
      std::uint32_t run = 1;
      while (end - run + 1 > first && points_[end - run] == '.') ++run;
      if (run >= 2) return run;
      if (!has_previous) return 0;
      if (is(end - 1, kBeforePeriod)) return 1;
      if (end - 1 == first) return 0;
      if (is(end - 1, kUpper) && is(end - 2, kUpper)) return 1;
      char32_t p = points_[end - 1];
      return points_[end - 2] == U'°' && (p == 'F' || p == 'C' || p == 'K') ? 1 : 0;
    }
    if (c == U'…') return has_previous && points_[end - 1] == U'…' ? 2 : 1;
    if ((c == 's' || c == 'S') && has_previous && (points_[end - 1] == '\'' || points_[end - 1] == U'’')) return 2;
    if (has_previous) {  // units and currencies, which hold no digit, right behind the last digit
      std::uint32_t limit = static_cast<std::uint32_t>(words_.english_.longest_unit());
      for (std::uint32_t length = 1; length <= limit && length <= end - first; ++length) {
        if (!is(last_ - length - 1, kDigit)) continue;
        if (is(end, kDigit)) break;
        if (length == 1 && (is(end, kCurrency) || c == '+')) return 1;
        if (words_.english_.is_unit(view(last_ - length, last_))) return length;
        break;
      }
    }
    return is(end, kSuffix) ? 1 : 0;
  }

  void cut_middle() {
    if (const SpecialCase* known = special(first_, last_)) {
      words_.add_special(*known, byte_of(first_));
      return;
    }
    if (is_spacy_url({points_ + first_, last_ - first_}, {classes_ + first_, last_ - first_})) {
      add(first_, last_);
      return;
    }
    std::uint32_t start = first_;
    for (std::uint32_t i = first_; i < last_;) {
      std::uint32_t length = infix_length(i);
      if (length == 0 || i == first_) {  // spaCy skips an infix at the very start
        i += length == 0 ? 1 : length;
        continue;
      }
      if (i != start) add(start, i);
      add(i, i + length);
      i += length;
      start = i;
    }
    if (start < last_) add(start, last_);
  }

  std::uint32_t infix_length(std::uint32_t i) const {
    char32_t c = points_[i];
    bool has_previous = i > first_, has_next = i + 1 < last_;
    auto next_is = [&](std::uint32_t at, std::uint32_t classes) { return at < last_ && is(at, classes); };
    bool word_before = has_previous && is(i - 1, kLetter | kDigit);
    switch (c) {
      case '.': {
        std::uint32_t run = 1;
        while (i + run < last_ && points_[i + run] == '.') ++run;
        if (run >= 2) return run;
        return has_previous && is(i - 1, kLowerOrQuote) && next_is(i + 1, kUpperOrQuote) ? 1 : 0;
      }
      case U'…':
        return 1;
      case '+':
      case '*':
      case '^':
      case '-':
        if (has_previous && is(i - 1, kDigit) && has_next && (is(i + 1, kDigit) || points_[i + 1] == '-')) return 1;
        if (c != '-' || !word_before) return 0;
        for (std::uint32_t length = 1; length <= 3; ++length) {
          if (next_is(i + length, kLetter)) return length;
          if (i + length >= last_ || points_[i + length] != '-') return 0;
        }
        return 0;
      case ',':
        return has_previous && is(i - 1, kLetter) && next_is(i + 1, kLetter) ? 1 : 0;
      case U'–':
      case U'~':
        return word_before && next_is(i + 1, kLetter) ? 1 : 0;
      case U'—':
        if (!word_before) return 0;
        if (next_is(i + 1, kLetter)) return 1;
        return has_next && points_[i + 1] == U'—' && next_is(i + 2, kLetter) ? 2 : 0;
      case ':':
      case '<':
      case '>':
      case '=':
      case '/':
        return word_before && next_is(i + 1, kLetter) ? 1 : 0;
      default:
        return is(i, kIcon) ? 1 : 0;
    }
  }

  SpacyWords& words_;
  const std::uint32_t begin_;
  const bool ascii_;
  std::uint32_t first_ = 0, last_ = 0;
  const std::uint32_t* classes_;
  const std::uint32_t* points_;
  const std::uint32_t* offsets_;
};

void SpacyWords::add(std::uint32_t begin, std::uint32_t bytes, std::uint32_t code_points, std::uint32_t flags,
                     std::uint64_t hash) {
  words_.push_back({hash, begin, bytes, code_points, flags | space_flags_});
  space_flags_ = 0;
}

void SpacyWords::add_special(const SpecialCase& special, std::uint32_t begin) {
  for (const Word& part : special.words) {
    words_.push_back(part);
    words_.back().offset += begin;
    words_.back().flags |= space_flags_;
    space_flags_ = 0;
  }
}

// Where the white space that begins at `position` ends.
std::uint32_t SpacyWords::skip_space(std::uint32_t position) const {
  const auto* bytes = reinterpret_cast<const unsigned char*>(base_.data());
  const auto size = static_cast<std::uint32_t>(base_.size());
  while (position < size) {
    std::uint32_t length = 1;
    if (bytes[position] >= 128)
      length = unicode_space(bytes + position, bytes + size);
    else if (!(english_.ascii()[bytes[position]] & kSpace))
      break;
    if (length == 0) break;
    position += length;
  }
  return position;
}

void SpacyWords::split(std::string_view text) {
  split_once(text);
  if (text.find("IS_ALPHA") == std::string_view::npos) return;
  if (std::none_of(words_.begin(), words_.end(), [&](const Word& word) { return this->text(word) == "IS_ALPHA"; })) {
    return;
  }
  without_.clear();
  for (std::size_t position = 0;;) {
    std::size_t found = text.find("IS_ALPHA", position);
    without_ += text.substr(position, found - position);
    if (found == std::string_view::npos) break;
    position = found + 8;
  }
  split_once(without_);
}

void SpacyWords::split_once(std::string_view text) {
  base_ = text;
  words_.clear();
  ends_with_space_token_ = false;
  const auto& table = english_.ascii();
  const char* const end = text.data() + text.size();
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const auto size = static_cast<std::uint32_t>(text.size());
  auto is_ascii_space = [&](std::uint32_t at) { return bytes[at] < 128 && (table[bytes[at]] & kSpace); };
  std::uint32_t position = 0;
  while (position < size) {
    // White space: nearly always one blank.
    std::uint32_t begin = position;
    space_flags_ = Word::kAfterSpace;
    if (begin > 0 && bytes[begin] == ' ' && begin + 1 < size && bytes[begin + 1] < 128 &&
        !(table[bytes[begin + 1]] & kSpace)) {
      ++position;
    } else {
      position = skip_space(position);
      bool one_blank = position == begin + 1 && bytes[begin] == ' ' && begin > 0;
      if (position > begin && !one_blank) space_flags_ |= Word::kAfterSpaceToken;
      if (position == size) {
        ends_with_space_token_ = space_flags_ & Word::kAfterSpaceToken;
        break;
      }
    }
    // A chunk: letters and digits first, because most chunks are nothing else.
    begin = position;
    const ChunkStart start = look_at(text, begin);
    const std::uint32_t plain_end = begin + start.plain;
    position = begin + start.known;
    bool ascii = true;
    if (!start.whole) {
      for (; position < size && !is_ascii_space(position); ++position) {
        if (bytes[position] < 128) continue;
        if (unicode_space(bytes + position, bytes + size) != 0) break;
        ascii = false;
      }
    }
    const std::uint32_t rest = position - plain_end;
    if (plain_end > begin && rest <= 1) {
      const std::uint32_t last = table[bytes[plain_end - 1]], mark = rest == 0 ? 0 : bytes[plain_end];
      // A word, or a word and one mark that is cut off. Behind a digit a unit could follow; "it's" has its own row.
      const bool unit = start.digits && !(last & kDigit);
      const bool cut = rest == 0 || (ascii && ((table[mark] & kSuffix) || (mark == '.' && (last & (kLower | kDigit)))));
      if (cut && !unit && (rest == 0 || !english_.special(text.substr(begin, position - begin)))) {
        const std::uint64_t hash = hash_word(text.data() + begin, start.plain, end);
        if (const SpecialCase* special = english_.special(text.substr(begin, start.plain), hash)) {
          add_special(*special, begin);
        } else {
          add(begin, start.plain, start.plain, Word::kHasNonSymbol | (start.letters ? Word::kHasAlpha : 0u), hash);
        }
        if (rest == 1) {
          const std::uint32_t classes = table[mark];
          std::uint32_t flags = 0;
          if (!(classes & kSymbol)) flags |= Word::kHasNonSymbol;
          if (classes & kPunctuation) flags |= Word::kAllPunctuation;
          if (classes & kSentenceEnd) flags |= Word::kEndsSentence;
          add(plain_end, 1, 1, flags, hash_word(text.data() + plain_end, 1, end));
        }
        continue;
      }
    }
    Chunk(*this, begin, position, ascii).cut();
  }
  second_pass();
}

void SpacyWords::second_pass() {
  struct Match {
    std::uint32_t first, last;
  };
  std::vector<Match> matches;
  for (std::uint32_t i = 0; i + 1 < words_.size(); ++i) {
    if (!english_.may_begin(words_[i].hash, words_[i + 1].hash)) continue;
    std::int32_t state = english_.next_state(0, words_[i].hash);
    for (std::uint32_t j = i + 1; state >= 0 && j < words_.size(); ++j) {
      if (words_[j].flags & Word::kAfterSpaceToken) break;
      state = english_.next_state(state, words_[j].hash);
      if (state >= 0 && english_.ends_here(state)) matches.push_back({i, j + 1});
    }
  }
  if (matches.empty()) return;
  // The longest first, of equal ones the earliest; one whose first or last token is taken is left out.
  std::stable_sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) {
    return a.last - a.first != b.last - b.first ? a.last - a.first > b.last - b.first : a.first < b.first;
  });
  std::vector<bool> taken(words_.size(), false);
  std::vector<Match> chosen;
  for (const Match& match : matches) {
    if (!taken[match.first] && !taken[match.last - 1]) chosen.push_back(match);
    for (std::uint32_t i = match.first; i < match.last; ++i) taken[i] = true;
  }
  std::sort(chosen.begin(), chosen.end(), [](const Match& a, const Match& b) { return a.first < b.first; });
  merged_.clear();
  std::uint32_t next = 0;
  for (const Match& match : chosen) {
    const Word& first = words_[match.first];
    const Word& last = words_[match.last - 1];
    std::string_view span = base_.substr(first.offset, last.offset + last.bytes - first.offset);
    const SpecialCase* special = english_.special(span);
    if (!special) continue;  // white space stands in it
    merged_.insert(merged_.end(), words_.begin() + next, words_.begin() + match.first);
    for (const Word& part : special->words) {
      merged_.push_back(part);
      if (part.offset == 0) merged_.back().flags |= first.flags & (Word::kAfterSpace | Word::kAfterSpaceToken);
      merged_.back().offset += first.offset;
    }
    next = match.last;
  }
  if (next == 0) return;
  merged_.insert(merged_.end(), words_.begin() + next, words_.end());
  words_.swap(merged_);
}

std::size_t count_sentences(std::span<const Word> words, bool trailing_space_token) {
  std::size_t sentences = 1;
  bool ended = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::uint32_t flags = words[i].flags;
    if (ended && i > 0 && (flags & Word::kAfterSpaceToken)) {
      ++sentences;
      ended = false;
    }
    if (ended && !(flags & (Word::kAllPunctuation | Word::kEndsSentence))) {
      ++sentences;
      ended = false;
    } else if (flags & Word::kEndsSentence) {
      ended = true;
    }
  }
  return sentences + (ended && trailing_space_token ? 1 : 0);
}

}  // namespace curate
