// spaCy's English tokenizer written down as its documentation describes it: code points, one rule after another,
// nothing precomputed, no fast path. The fast splitter is compared with this one, and both with spaCy's own words.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/unicode.h"
#include "curate/text/english.h"

namespace slow {

using Text = std::u32string;

inline Text decode(std::string_view bytes) {
  Text text;
  for (std::size_t position = 0; position < bytes.size();) text += base::next_code_point(bytes, position);
  return text;
}
inline std::string encode(const Text& text) {
  std::string bytes;
  for (char32_t c : text) base::append_utf8(bytes, c);
  return bytes;
}
inline bool is(char32_t c, std::uint32_t classes) { return (curate::English::get().classes(c) & classes) != 0; }
inline bool digit(char32_t c) { return c >= '0' && c <= '9'; }
inline const curate::SpecialCase* special(const Text& text) { return curate::English::get().special(encode(text)); }
inline bool at(const Text& text, std::size_t i, const std::function<bool(char32_t)>& test) {
  return i < text.size() && test(text[i]);
}

inline std::size_t find_prefix(const Text& t) {
  if (t.starts_with(U"+")) return at(t, 1, digit) ? 0 : 1;
  if (is(t[0], curate::character::kPrefix)) return 1;
  std::size_t dots = 0;
  while (dots < t.size() && t[dots] == '.') ++dots;
  if (dots >= 2) return dots;
  for (const Text& currency : {Text(U"US$"), Text(U"C$"), Text(U"A$")}) {
    if (t.starts_with(currency)) return currency.size();
  }
  return 0;
}

/// The longest suffix whose pattern matches at the end.
inline std::size_t find_suffix(const Text& t) {
  std::size_t longest = 0;
  const std::size_t n = t.size();
  for (std::size_t length = 1; length <= n; ++length) {
    Text s = t.substr(n - length), before = t.substr(0, n - length);
    auto last = [&](std::size_t back) { return back <= before.size() ? before[before.size() - back] : U'\0'; };
    bool all_dots = std::all_of(s.begin(), s.end(), [](char32_t c) { return c == '.'; });
    bool match = (length >= 2 && all_dots) || s == U"……" || s == U"'s" || s == U"'S" || s == U"’s" || s == U"’S";
    if (length == 1) {
      match |= is(s[0], curate::character::kSuffix) || s == U"…";
      match |= s == U"+" && digit(last(1));
      match |= is(s[0], curate::character::kCurrency) && digit(last(1));
      match |= s == U"." && (is(last(1), curate::character::kBeforePeriod) ||
                             (last(2) == U'°' && Text(U"FfCcKk").find(last(1)) != Text::npos) ||
                             (is(last(1), curate::character::kUpper) && is(last(2), curate::character::kUpper)));
    }
    match |= digit(last(1)) && curate::English::get().is_unit(encode(s));
    if (match) longest = length;
  }
  return longest;
}

inline std::size_t find_infix(const Text& t, std::size_t i) {
  char32_t c = t[i], p = i > 0 ? t[i - 1] : U'\0';
  auto letter = [](char32_t x) { return is(x, curate::character::kLetter); };
  bool word_before = letter(p) || digit(p);
  std::size_t dots = 0;
  while (i + dots < t.size() && t[i + dots] == '.') ++dots;
  if (dots >= 2) return dots;
  if (c == U'…' || is(c, curate::character::kIcon)) return 1;
  if (Text(U"+-*^").find(c) != Text::npos && digit(p) &&
      at(t, i + 1, [](char32_t x) { return digit(x) || x == '-'; })) {
    return 1;
  }
  if (c == '.' && is(p, curate::character::kLowerOrQuote) &&
      at(t, i + 1, [](char32_t x) { return is(x, curate::character::kUpperOrQuote); })) {
    return 1;
  }
  if (c == ',' && letter(p) && at(t, i + 1, letter)) return 1;
  for (const char32_t* sign : {U"-", U"–", U"—", U"--", U"---", U"——", U"~"}) {
    const Text hyphen = sign;
    if (word_before && t.substr(i).starts_with(hyphen) && at(t, i + hyphen.size(), letter)) return hyphen.size();
  }
  return Text(U":<>=/").find(c) != Text::npos && word_before && at(t, i + 1, letter) ? 1 : 0;
}

/// Cuts a chunk that is no URL (the random texts hold none; the golden file does).
inline void cut_chunk(Text t, bool with_specials, std::vector<Text>& words) {
  std::vector<Text> suffixes;
  auto known = [&](const Text& text) { return with_specials && !text.empty() && special(text); };
  std::size_t size_before = 0;
  while (!t.empty() && t.size() != size_before) {
    if (known(t)) break;
    size_before = t.size();
    std::size_t prefix = find_prefix(t);
    if (prefix > 0 && known(t.substr(prefix))) {
      words.push_back(t.substr(0, prefix));
      t = t.substr(prefix);
      break;
    }
    std::size_t suffix = find_suffix(t.substr(prefix));
    if (suffix > 0 && known(t.substr(0, t.size() - suffix))) {
      suffixes.push_back(t.substr(t.size() - suffix));
      t = t.substr(0, t.size() - suffix);
      break;
    }
    if (prefix > 0) words.push_back(t.substr(0, prefix));
    if (suffix > 0) suffixes.push_back(t.substr(t.size() - suffix));
    t = t.substr(prefix, t.size() - prefix - suffix);
  }
  if (known(t)) {
    for (const curate::Word& part : special(t)->words)
      words.push_back(decode(special(t)->text.substr(part.offset, part.bytes)));
  } else if (!t.empty()) {
    std::size_t start = 0;
    for (std::size_t i = 0; i < t.size();) {
      std::size_t length = find_infix(t, i);
      if (length > 0 && i > 0) {
        if (i > start) words.push_back(t.substr(start, i - start));
        words.push_back(t.substr(i, length));
        start = i + length;
      }
      i += std::max<std::size_t>(length, 1);
    }
    if (start < t.size()) words.push_back(t.substr(start));
  }
  words.insert(words.end(), suffixes.rbegin(), suffixes.rend());
}

struct Token {
  Text text;
  bool after_space = false;  ///< white space stands before it
  bool after_token = false;  ///< and it is a token to spaCy
};

/// spaCy's second pass: where the tokens of a special case stand side by side although it was not seen as a whole.
inline void second_pass(std::vector<Token>& tokens) {
  struct Match {
    std::size_t first, last;
    Text text;
  };
  std::vector<Match> matches;
  for (std::size_t first = 0; first < tokens.size(); ++first) {
    Text joined = tokens[first].text;
    std::vector<Text> parts = {joined};
    for (std::size_t last = first + 1; last < tokens.size() && !tokens[last].after_token && joined.size() < 40;
         ++last) {
      joined += tokens[last].text;
      parts.push_back(tokens[last].text);
      if (!special(joined)) continue;
      bool affix = find_prefix(joined) || find_suffix(joined);
      for (std::size_t i = 0; i < joined.size(); ++i) affix |= find_infix(joined, i) > 0;
      std::vector<Text> plain;
      cut_chunk(joined, false, plain);
      if (affix && plain == parts) matches.push_back({first, last + 1, joined});
    }
  }
  std::stable_sort(matches.begin(), matches.end(),
                   [](const Match& a, const Match& b) { return a.last - a.first > b.last - b.first; });
  std::set<std::size_t> taken;
  std::vector<Match> chosen;
  for (const Match& match : matches) {
    if (!taken.count(match.first) && !taken.count(match.last - 1)) chosen.push_back(match);
    for (std::size_t i = match.first; i < match.last; ++i) taken.insert(i);
  }
  std::sort(chosen.begin(), chosen.end(), [](const Match& a, const Match& b) { return a.first > b.first; });
  for (const Match& match : chosen) {  // from the end, so that positions stay right
    bool spaces = false;
    for (std::size_t i = match.first + 1; i < match.last; ++i) spaces |= tokens[i].after_space;
    if (spaces) continue;
    std::vector<Token> parts;
    for (const curate::Word& part : special(match.text)->words) {
      parts.push_back({decode(special(match.text)->text.substr(part.offset, part.bytes))});
    }
    parts[0].after_space = tokens[match.first].after_space;
    parts[0].after_token = tokens[match.first].after_token;
    auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(match.first);
    tokens.erase(begin, tokens.begin() + static_cast<std::ptrdiff_t>(match.last));
    tokens.insert(tokens.begin() + static_cast<std::ptrdiff_t>(match.first), parts.begin(), parts.end());
  }
}

/// A text cut at white space.
inline std::vector<Token> chunks(const Text& text) {
  std::vector<Token> result;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t spaces = i;
    while (i < text.size() && is(text[i], curate::character::kSpace)) ++i;
    bool after_space = i > spaces, after_token = after_space && !(i == spaces + 1 && text[spaces] == ' ');
    std::size_t begin = i;
    while (i < text.size() && !is(text[i], curate::character::kSpace)) ++i;
    if (i > begin) result.push_back({text.substr(begin, i - begin), after_space, after_token});
  }
  return result;
}

/// The words of a text.
inline std::vector<std::string> split(std::string_view bytes) {
  std::vector<Token> tokens;
  for (const Token& chunk : chunks(decode(bytes))) {
    std::vector<Text> words;
    cut_chunk(chunk.text, true, words);
    for (std::size_t w = 0; w < words.size(); ++w) {
      tokens.push_back({words[w], w == 0 && chunk.after_space, w == 0 && chunk.after_token});
    }
  }
  second_pass(tokens);
  std::vector<std::string> result;
  for (const Token& token : tokens) result.push_back(encode(token.text));
  return result;
}

}  // namespace slow
