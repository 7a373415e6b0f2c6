// A text split into words as datatrove before 0.4 does: NLTK's word_tokenize for English. Tested by
// tests/curate/text/nltk_words_test.cc.
#include "curate/text/nltk_words.h"

#include <array>
#include <utility>

#include "base/unicode.h"
#include "curate/text/english.h"
#include "curate/text/lines.h"

namespace curate {
namespace {

// A set of ASCII characters.
class Characters {
 public:
  constexpr explicit Characters(std::string_view characters) {
    for (char c : characters) member_[static_cast<unsigned char>(c)] = true;
  }
  constexpr bool contains(char c) const { return member_[static_cast<unsigned char>(c)]; }

 private:
  std::array<bool, 256> member_{};
};

constexpr Characters kPadded("[](){}<>"), kSymbols(";@#$%&"), kMarks("?!"), kStars("*");
constexpr Characters kBeforeQuote(" ([{<"), kClosing("])}>\"'");

bool word_before(std::string_view text, std::size_t position) {
  if (position == 0) return false;
  std::size_t start = position - 1;
  while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
  return base::is_word_character(base::next_code_point(text, start));
}

bool word_after(std::string_view text, std::size_t position) {
  return position < text.size() && base::is_word_character(base::next_code_point(text, position));
}

// Bytes at `position` that match `pattern` (lower-case ASCII) whatever the case, as Python's re.IGNORECASE has it:
// some letters outside ASCII are cases of ASCII ones. 0: no match.
std::size_t match_any_case(std::string_view text, std::size_t position, std::string_view pattern) {
  const std::size_t begin = position;
  for (char wanted : pattern) {
    if (position == text.size()) return 0;
    char32_t c = base::next_code_point(text, position);
    if (c >= 'A' && c <= 'Z') c += 32;
    if (c == 0x130 || c == 0x131) c = 'i';  // dotted capital and dotless small i
    if (c == 0x17F) c = 's';                // long s
    if (c != static_cast<unsigned char>(wanted)) return 0;
  }
  return position - begin;
}

// The substitutions of NLTKWordTokenizer.tokenize on one sentence, each a method in the order they are applied. What a
// method does is Python's `re.sub(pattern, replacement, text)` for the pattern in its comment.
class Substitutions {
 public:
  // `text` and `other` are buffers; the result is in `text`.
  Substitutions(std::string& text, std::string& other) : text_(text), to_(other) {
    for (char c : text) seen_[static_cast<unsigned char>(c)] = true;
  }

  void apply() {
    const bool outside_ascii = has('\xC2') || has('\xE2');
    if (outside_ascii || has('`')) opening_quotes();
    if (text_.starts_with('"')) text_.replace(0, 1, "``"), seen_['`'] = true;
    if (has('`')) pad_string("``");
    if (has('"') || has('\'')) quotes_behind_openings();
    if (has('\'')) quoted_letters();

    if (has('.')) final_period();
    if (has(':') || has(',')) colons_and_commas();
    if (has('.')) ellipses();
    pad(kSymbols);
    if (has('.')) final_period_again();
    pad(kMarks);
    if (has('\'')) quotes_before_blanks();
    pad(kStars);
    pad(kPadded);
    if (has('-')) pad_string("--");

    text_.insert(text_.begin(), ' ');
    text_ += ' ';
    if (outside_ascii) closing_quotes();
    if (has('\'')) pad_string("''");
    if (has('"')) double_quotes();
    if (has('\'')) short_clitics(), long_clitics();
    contractions();
    if (has('\'')) leading_contraction("is"), leading_contraction("was");
  }

 private:
  bool has(char c) const { return seen_[static_cast<unsigned char>(c)]; }
  char at(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  void begin() { to_.clear(); }
  void done() { text_.swap(to_); }

  // `[characters]` -> ` \g<0> `
  void pad(const Characters& characters) {
    std::size_t i = 0;
    while (i < text_.size() && !characters.contains(text_[i])) ++i;
    if (i == text_.size()) return;
    begin();
    for (char c : text_) {
      if (characters.contains(c)) {
        to_ += ' ';
        to_ += c;
        to_ += ' ';
      } else {
        to_ += c;
      }
    }
    done();
  }

  // `string` -> ` \1 `
  void pad_string(std::string_view string) { replace_string(string, string); }
  void replace_string(std::string_view string, std::string_view replacement) {
    std::size_t found = text_.find(string);
    if (found == std::string::npos) return;
    begin();
    std::size_t start = 0;
    for (; found != std::string::npos; found = text_.find(string, start)) {
      to_.append(text_, start, found - start);
      to_ += ' ';
      to_ += replacement;
      to_ += ' ';
      start = found + string.size();
    }
    to_.append(text_, start);
    done();
  }

  // `([«“‘„]|[`]+)` -> ` \1 `
  void opening_quotes() {
    begin();
    for (std::size_t i = 0; i < text_.size();) {
      std::size_t length = 0;
      const std::string_view rest = std::string_view(text_).substr(i, 3);
      if (rest.starts_with("«")) length = 2;
      if (rest == "“" || rest == "‘" || rest == "„") length = 3;
      while (at(i + length) == '`' && (length == 0 || at(i) == '`')) ++length;
      if (length > 0) to_ += ' ';
      to_.append(text_, i, std::max<std::size_t>(length, 1));
      if (length > 0) to_ += ' ';
      i += std::max<std::size_t>(length, 1);
    }
    done();
  }

  // `([ \(\[{<])("|'{2})` -> `\1 `` `
  void quotes_behind_openings() {
    begin();
    for (std::size_t i = 0; i < text_.size();) {
      to_ += text_[i];
      const std::size_t length = at(i + 1) == '"' ? 1 : at(i + 1) == '\'' && at(i + 2) == '\'' ? 2 : 0;
      if (length > 0 && kBeforeQuote.contains(text_[i])) {
        to_ += " `` ";
        i += length;
      }
      ++i;
    }
    done();
  }

  // `(?i)(')(?!re|ve|ll|m|t|s|d|n)(\w)\b` -> `\1 \2`
  void quoted_letters() {
    begin();
    for (std::size_t i = 0; i < text_.size(); ++i) {
      to_ += text_[i];
      if (text_[i] != '\'' || i + 1 == text_.size()) continue;
      std::size_t behind = i + 1;
      const char32_t c = base::next_code_point(text_, behind);
      if (!base::is_word_character(c) || word_after(text_, behind)) continue;
      bool clitic = false;
      for (std::string_view letter : {"m", "t", "s", "d", "n"}) clitic |= match_any_case(text_, i + 1, letter) > 0;
      if (!clitic) to_ += ' ';
    }
    done();
  }

  // Where the last full stop is followed by nothing but `closing...` and then white space: the end of the closing
  // part, else npos. The full stop must not be the second of two.
  template <class IsClosing>
  std::size_t behind_final_period(std::size_t& period, IsClosing closing_length) const {
    period = text_.rfind('.');
    if (period == std::string::npos || period == 0 || text_[period - 1] == '.') return std::string::npos;
    std::size_t end = period + 1;
    while (const std::size_t length = closing_length(end)) end += length;
    return strip_left(std::string_view(text_).substr(end)).empty() ? end : std::string::npos;
  }

  // `([^\.])(\.)([\]\)}>"'»”’ ]*)\s*$` -> `\1 \2 \3 `
  void final_period() {
    std::size_t period;
    const std::size_t end = behind_final_period(period, [this](std::size_t i) -> std::size_t {
      if (i == text_.size()) return 0;
      if (text_[i] == ' ' || kClosing.contains(text_[i])) return 1;
      const std::string_view rest = std::string_view(text_).substr(i, 3);
      return rest.starts_with("»") ? 2 : rest == "”" || rest == "’" ? 3 : 0;
    });
    if (end == std::string::npos) return;
    text_.resize(end);
    text_ += ' ';
    text_.replace(period, 1, " . ");
  }

  // `([^\.])(\.)([\]\)}>"']*)\s*$` -> `\1 \2\3 `
  void final_period_again() {
    std::size_t period;
    const std::size_t end = behind_final_period(
        period, [this](std::size_t i) -> std::size_t { return i < text_.size() && kClosing.contains(text_[i]); });
    if (end == std::string::npos) return;
    text_.resize(end);
    text_ += ' ';
    text_.insert(period, 1, ' ');
  }

  // `([:,])([^\d])` -> ` \1 \2`, then `([:,])$` -> ` \1 `
  void colons_and_commas() {
    begin();
    for (std::size_t i = 0; i < text_.size();) {
      const char c = text_[i++];
      if ((c != ':' && c != ',') || i == text_.size()) {
        to_ += c;
        continue;
      }
      std::size_t behind = i;
      if (base::is_decimal_digit(base::next_code_point(text_, behind))) {
        to_ += c;
        continue;
      }
      to_ += ' ';
      to_ += c;
      to_ += ' ';
      to_.append(text_, i, behind - i);
      i = behind;
    }
    done();
    const std::size_t last = text_.size() - (text_.ends_with('\n') ? 2 : 1);
    if (last < text_.size() && (text_[last] == ':' || text_[last] == ',')) {
      const char padded[] = {' ', text_[last], ' '};
      text_.replace(last, 1, padded, 3);
    }
  }

  // `\.{2,}` -> ` \g<0> `
  void ellipses() {
    if (text_.find("..") == std::string::npos) return;
    begin();
    for (std::size_t i = 0; i < text_.size();) {
      std::size_t run = 0;
      while (at(i + run) == '.') ++run;
      if (run >= 2) to_ += ' ';
      to_.append(text_, i, std::max<std::size_t>(run, 1));
      if (run >= 2) to_ += ' ';
      i += std::max<std::size_t>(run, 1);
    }
    done();
  }

  // `([^'])' ` -> `\1 ' `
  void quotes_before_blanks() {
    begin();
    for (std::size_t i = 0; i < text_.size();) {
      to_ += text_[i];
      if (text_[i] != '\'' && at(i + 1) == '\'' && at(i + 2) == ' ') {
        to_ += " ' ";
        i += 2;
      }
      ++i;
    }
    done();
  }

  // `([»”’])` -> ` \1 `
  void closing_quotes() {
    for (std::string_view quote : {"»", "”", "’"}) pad_string(quote);
  }

  // `"` -> ` '' `
  void double_quotes() {
    replace_string("\"", "''");
    seen_['\''] = true;
  }

  // `([^' ])('[sS]|'[mM]|'[dD]|') ` -> `\1 \2 `
  void short_clitics() {
    begin();
    for (std::size_t i = 0; i < text_.size(); ++i) {
      to_ += text_[i];
      if (text_[i] == '\'' || text_[i] == ' ' || at(i + 1) != '\'') continue;
      const char letter = static_cast<char>(at(i + 2) | 0x20);
      std::size_t length = (letter == 's' || letter == 'm' || letter == 'd') && at(i + 3) == ' ' ? 2 : 1;
      if (at(i + 1 + length) != ' ') continue;
      to_ += ' ';
      to_.append(text_, i + 1, length + 1);
      i += length + 1;
    }
    done();
  }

  // `([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ` -> `\1 \2 `
  void long_clitics() {
    begin();
    for (std::size_t i = 0; i < text_.size(); ++i) {
      to_ += text_[i];
      if (text_[i] == '\'' || text_[i] == ' ' || at(i + 4) != ' ') continue;
      if (text_[i + 1] != '\'' && text_[i + 2] != '\'') continue;
      const std::string_view clitic = std::string_view(text_).substr(i + 1, 3);
      bool known = false;
      for (std::string_view one : {"'ll", "'LL", "'re", "'RE", "'ve", "'VE", "n't", "N'T"}) known |= clitic == one;
      if (!known) continue;
      to_ += ' ';
      to_ += clitic;
      to_ += ' ';
      i += 4;
    }
    done();
  }

  // `(?i)\b(can)(not)\b` and the like -> ` \1 \2 `; one pass does for all, because what one puts in is no part of a
  // word.
  void contractions() {
    static constexpr std::pair<std::string_view, std::string_view> kAll[] = {
        {"can", "not"}, {"d", "'ye"},  {"gim", "me"},  {"gon", "na"},
        {"got", "ta"},  {"lem", "me"}, {"more", "'n"}, {"wan", "na"}};
    static constexpr Characters kFirst("cdglmwCDGLMW");
    std::size_t copied = 0;
    begin();
    for (std::size_t i = 0; i < text_.size(); ++i) {
      if (!kFirst.contains(text_[i]) || word_before(text_, i)) continue;
      for (const auto& [left, right] : kAll) {
        const std::size_t first = match_any_case(text_, i, left);
        const std::size_t second = first > 0 ? match_any_case(text_, i + first, right) : 0;
        const std::size_t end = i + first + second;
        if (second == 0 || word_after(text_, end)) continue;
        if (left == "wan" && space_length(text_, end) == 0) continue;  // this one wants white space behind it
        to_.append(text_, copied, i - copied);
        to_ += ' ';
        to_.append(text_, i, first);
        to_ += ' ';
        to_.append(text_, i + first, second);
        to_ += ' ';
        copied = end;
        i = end - 1;
        break;
      }
    }
    if (copied == 0) return;
    to_.append(text_, copied);
    done();
  }

  // `(?i) ('t)(is)\b` -> ` \1 \2 `
  void leading_contraction(std::string_view verb) {
    std::size_t copied = 0;
    begin();
    for (std::size_t i = text_.find(" '"); i != std::string::npos; i = text_.find(" '", i)) {
      const std::size_t second = (at(i + 2) | 0x20) == 't' ? match_any_case(text_, i + 3, verb) : 0;
      const std::size_t end = i + 3 + second;
      if (second == 0 || word_after(text_, end)) {
        ++i;
        continue;
      }
      to_.append(text_, copied, i + 3 - copied);
      to_ += ' ';
      to_.append(text_, i + 3, second);
      to_ += ' ';
      copied = i = end;
    }
    if (copied == 0) return;
    to_.append(text_, copied);
    done();
  }

  std::string& text_;
  std::string& to_;
  std::array<bool, 256> seen_{};
};

// datatrove 0.2's PUNCTUATION. Later versions add the terminal punctuation of all scripts.
bool is_symbol(char32_t c, std::uint32_t classes) {
  if (!(classes & character::kSymbol)) return false;
  if (!(classes & character::kTerminal) || c < 0xA0) return true;
  return std::u32string_view(U"！．？。").find(c) != std::u32string_view::npos;
}

}  // namespace

void NltkWords::split(std::string_view text) {
  words_.clear();
  result_.clear();
  Punkt::english().split(text, sentences_);
  for (std::string_view sentence : sentences_) add_sentence(sentence);
  base_ = result_;
}

void NltkWords::add_sentence(std::string_view sentence) {
  from_.assign(sentence);
  Substitutions(from_, to_).apply();
  const std::size_t begin = result_.size();
  result_ += from_;
  add_words(begin);
}

// The words of the last sentence: str.split().
void NltkWords::add_words(std::size_t begin) {
  const English& english = English::get();
  const std::string_view text = result_;
  for (std::size_t position = begin; position < text.size();) {
    if (const std::size_t space = space_length(text, position); space > 0) {
      position += space;
      continue;
    }
    Word word;
    word.offset = static_cast<std::uint32_t>(position);
    while (position < text.size() && space_length(text, position) == 0) {
      const char32_t c = base::next_code_point(text, position);
      const std::uint32_t classes = english.classes(c);
      if (classes & character::kAlpha) word.flags |= Word::kHasAlpha;
      if (!is_symbol(c, classes)) word.flags |= Word::kHasNonSymbol;
      ++word.code_points;
    }
    word.bytes = static_cast<std::uint32_t>(position) - word.offset;
    word.hash = hash_word(text.data() + word.offset, word.bytes, text.data() + text.size());
    words_.push_back(word);
  }
}

}  // namespace curate
