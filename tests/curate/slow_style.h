// The textbook model said slowly: code points instead of bytes, strings instead of hashes where the format lets it,
// every statistic from lists of lines, sentences and paragraphs. For valid UTF-8.
#pragma once

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/unicode.h"
#include "curate/scorer/textbook_model.h"

namespace slow_style {

struct Token {
  enum Kind { kWord, kNumber, kMixed, kMark, kBreak } kind = kWord;
  std::string word;  ///< word: lower case, ' for ’
  std::string raw;   ///< its bytes
  std::vector<char32_t> points;
  char mark = 0;                             ///< mark: its ASCII cousin
  std::size_t begin = 0, end = 0, ends = 0;  ///< break: line ends
  std::string indent;                        ///< break: white space behind the last line end, without \r
  std::size_t size() const { return points.size(); }
  bool capital() const { return points[0] >= 'A' && points[0] <= 'Z'; }
  std::size_t capitals() const {
    std::size_t n = 0;
    for (char32_t c : points) n += c >= 'A' && c <= 'Z';
    return n;
  }
};

inline bool is_space(char32_t c) {
  return (c <= ' ' && c != '\n') || c == 0x7F || c == 0xA0 || (c >= 0x2000 && c <= 0x200F) || c == 0x202F ||
         c == 0x3000;
}
inline bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
inline bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return c >= 0xC0 && !(c >= 0x2000 && c <= 0x2FFF) && !(c >= 0x3000 && c <= 0x303F) && !(c >= 0xFE00 && c <= 0xFFFF);
}
inline bool is_apostrophe(char32_t c) { return c == '\'' || (c >= 0x2018 && c <= 0x201B); }
inline char cousin(char32_t c) {
  if (c < 0x80) return static_cast<char>(c);
  if (c >= 0x2010 && c <= 0x2015) return '-';
  if (is_apostrophe(c)) return '\'';
  if (c >= 0x201C && c <= 0x201F) return '"';
  return c == 0x2022 ? '*' : c == 0x2026 ? '.' : 0;
}

inline std::vector<Token> tokens(std::string_view text) {
  std::vector<char32_t> points;
  std::vector<std::size_t> offsets;
  for (std::size_t at = 0; at < text.size();) {
    offsets.push_back(at);
    points.push_back(base::next_code_point(text, at));
  }
  offsets.push_back(text.size());
  const std::size_t n = points.size();
  std::vector<Token> result;
  for (std::size_t i = 0; i < n;) {
    const std::size_t start = i;
    const char32_t c = points[i];
    Token token;
    if (is_space(c)) {
      ++i;
      continue;
    }
    if (c == '\n') {
      token.kind = Token::kBreak;
      for (; i < n && (points[i] == '\n' || (is_space(points[i]) && points[i] < 0x80)); ++i) {
        if (points[i] == '\n')
          ++token.ends, token.indent.clear();
        else if (points[i] != '\r')
          token.indent += static_cast<char>(points[i]);
      }
    } else if (is_letter(c) || is_digit(c) || c == '_') {
      bool digits = false, letters = false, underscore = false;
      for (; i < n; ++i) {
        const char32_t p = points[i];
        if (is_digit(p))
          digits = true;
        else if (is_letter(p))
          letters = true;
        else if (p == '_')
          underscore = true;
        else if (is_apostrophe(p) && !digits && !underscore && i > start && is_letter(points[i - 1]) && i + 1 < n &&
                 is_letter(points[i + 1]))
          continue;
        else
          break;
      }
      token.kind = underscore || (digits && letters) ? Token::kMixed : digits ? Token::kNumber : Token::kWord;
    } else {
      token.kind = Token::kMark;
      token.mark = cousin(c);
      while (i < n && points[i] == c) ++i;
    }
    token.points.assign(points.begin() + static_cast<std::ptrdiff_t>(start),
                        points.begin() + static_cast<std::ptrdiff_t>(i));
    token.begin = offsets[start];
    token.end = offsets[i];
    token.raw = text.substr(token.begin, token.end - token.begin);
    for (char32_t p : token.points) {
      if (is_apostrophe(p)) p = '\'';
      base::append_utf8(token.word, p >= 'A' && p <= 'Z' ? p + 32 : p);
    }
    result.push_back(token);
  }
  return result;
}

/// The code numbers of the file format.
inline std::uint32_t code(const Token& t, const std::vector<std::string>& vocabulary) {
  switch (t.kind) {
    case Token::kNumber:
      return t.size() == 1 ? 44 : t.size() < 4 ? 45 : t.size() == 4 ? 46 : 47;
    case Token::kMixed:
      return t.raw.find('_') == std::string::npos ? 48 : 49;
    case Token::kMark:
      return 64 + 3 * static_cast<std::uint32_t>(t.mark) + (t.size() == 1 ? 0 : t.size() < 4 ? 1 : 2);
    case Token::kBreak: {
      const std::size_t size = t.indent.size();
      const bool tab = t.indent.find('\t') != std::string::npos;
      return 448 + (t.ends > 1 ? 5 : 0) + (size == 0 ? 0 : tab ? 1 : size < 3 ? 2 : size < 5 ? 3 : 4);
    }
    case Token::kWord:
      break;
  }
  for (std::size_t rank = 0; rank < vocabulary.size(); ++rank) {
    if (vocabulary[rank] == t.word) return static_cast<std::uint32_t>(512 + 2 * rank + (t.capital() ? 1 : 0));
  }
  if (t.capital() && t.size() == 1) return 41;
  if (t.capitals() == t.size()) return 40;
  if (t.capitals() > (t.capital() ? 1u : 0u)) return 42;
  const std::uint32_t base = t.capital() ? 20 : 0;
  const char* suffixes[] = {"ing",  "ed",  "ly",  "tion", "ions", "ment", "ness", "ity",
                            "able", "ive", "ous", "ful",  "al",   "er",   "es",   "s"};
  for (std::uint32_t i = 0; i < 16; ++i) {
    const std::string suffix = suffixes[i];
    if (t.raw.size() > suffix.size() + 2 && t.word.ends_with(suffix)) return base + i;
  }
  return base + (t.size() < 3 ? 16 : t.size() < 5 ? 17 : t.size() < 8 ? 18 : 19);
}

inline std::uint32_t bucket(std::uint32_t x) {
  x ^= x >> 16, x *= 0x7feb352d, x ^= x >> 15, x *= 0x846ca68b, x ^= x >> 16;
  return x >> 16;
}

struct Page {
  std::map<std::uint32_t, int> grams;
  std::map<std::string, double> statistics;
};

inline double mean(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x;
  return v.empty() ? 0 : sum / static_cast<double>(v.size());
}
inline double deviation(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += (x - mean(v)) * (x - mean(v));
  return v.empty() ? 0 : std::sqrt(sum / static_cast<double>(v.size()));
}
inline double spread(const std::vector<double>& v) { return deviation(v) / (mean(v) + 1); }
template <class F>
double share(const std::vector<double>& v, F f) {
  double n = 0;
  for (double x : v) n += f(x);
  return v.empty() ? 0 : n / static_cast<double>(v.size());
}
/// Mean over windows of distinct / size; a last window below half counts only when it is the only one.
inline double variety(const std::vector<std::string>& items, std::size_t window) {
  std::vector<double> shares;
  for (std::size_t begin = 0; begin < items.size(); begin += window) {
    const std::size_t size = std::min(window, items.size() - begin);
    if (begin > 0 && size * 2 < window) break;
    const auto first = items.begin() + static_cast<std::ptrdiff_t>(begin);
    shares.push_back(
        static_cast<double>(std::set<std::string>(first, first + static_cast<std::ptrdiff_t>(size)).size()) /
        static_cast<double>(size));
  }
  return mean(shares);
}

/// Grams and statistics of a text that is read in one piece.
inline Page read(std::string_view text, const std::vector<std::string>& vocabulary) {
  Page page;
  const std::vector<Token> all = tokens(text);
  std::uint32_t before = 448;
  std::vector<std::string> codes, words;
  for (const Token& t : all) {
    const std::uint32_t now = code(t, vocabulary);
    ++page.grams[bucket(now)];
    ++page.grams[bucket(before * 0x9E3779B1u + now + 1)];
    before = now;
    codes.push_back(t.kind == Token::kWord ? "word " + t.word : std::to_string(now));
    if (t.kind == Token::kWord) words.push_back(t.word);
  }

  // Lines, paragraphs, sentences, runs of words: as lists.
  std::vector<std::vector<Token>> lines(1), paragraphs(1);
  std::vector<double> sentences, runs;
  std::vector<bool> indented(1, false);
  double line_ends = 0, run = 0, sentence = 0;
  auto close = [](double& value, std::vector<double>& list) {
    if (value > 0) list.push_back(value);
    value = 0;
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Token& t = all[i];
    if (t.kind == Token::kWord)
      ++run;
    else
      close(run, runs);
    if (t.kind == Token::kBreak) {
      line_ends += static_cast<double>(t.ends);
      lines.emplace_back();
      indented.push_back(!t.indent.empty());
      if (t.ends > 1) {
        paragraphs.emplace_back();
        close(sentence, sentences);
      }
      continue;
    }
    lines.back().push_back(t);
    paragraphs.back().push_back(t);
    // The last token before this one that is no break, in this paragraph.
    std::size_t j = i;
    while (j > 0 && all[j - 1].kind == Token::kBreak && all[j - 1].ends == 1) --j;
    if (j > 0 && all[j - 1].kind == Token::kMark &&
        std::string_view(".?!").find(all[j - 1].mark) != std::string_view::npos && t.begin > all[j - 1].end) {
      close(sentence, sentences);
    }
    if (t.kind != Token::kMark) ++sentence;
  }
  close(sentence, sentences);
  close(run, runs);

  auto& s = page.statistics;
  const double total = static_cast<double>(all.size()), word_count = static_cast<double>(words.size());
  auto of = [](double part, double whole) { return whole > 0 ? part / whole : 0.0; };
  const char* kinds[] = {"words", "numbers", "mixed", "marks", "breaks"};
  std::map<char, double> marks;
  double token_bytes = 0, digit_bytes = 0, repeated = 0, high = 0;
  std::vector<double> sizes;
  double known = 0, common = 0, capitalised = 0, upper = 0, camel = 0, adjacent = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Token& t = all[i];
    s[kinds[t.kind]] += 1 / total;
    if (t.kind == Token::kBreak) continue;
    token_bytes += static_cast<double>(t.raw.size());
    if (t.kind == Token::kNumber) digit_bytes += static_cast<double>(t.raw.size());
    if (t.kind == Token::kMark) ++marks[t.mark], repeated += t.size() > 3;
    if (t.kind != Token::kWord) continue;
    sizes.push_back(static_cast<double>(t.size()));
    if (i > 0 && all[i - 1].kind == Token::kWord) ++adjacent;
    for (std::size_t rank = 0; rank < vocabulary.size(); ++rank) {
      if (vocabulary[rank] == t.word) ++known, common += rank < 128;
    }
    if (t.size() > 1 && t.capitals() == t.size())
      ++upper;
    else if (t.capitals() > (t.capital() ? 1u : 0u))
      ++camel;
    else if (t.capital())
      ++capitalised;
  }
  for (char c : text) high += (c & 0x80) != 0;
  const auto bytes = static_cast<double>(text.size());
  s["known_words"] = of(known, word_count);
  s["common_words"] = of(common, word_count);
  s["word_length"] = mean(sizes);
  s["word_length_spread"] = deviation(sizes);
  s["long_words"] = share(sizes, [](double x) { return x >= 8; });
  s["short_words"] = share(sizes, [](double x) { return x <= 2; });
  s["capitalised"] = of(capitalised, word_count);
  s["upper_case"] = of(upper, word_count);
  s["camel_case"] = of(camel, word_count);
  s["word_variety"] = variety(words, 100);
  s["token_variety"] = variety(codes, 200);
  s["word_after_word"] = of(adjacent, total);
  s["word_run"] = std::log1p(mean(runs));
  double in_long_runs = 0;
  for (double r : runs) in_long_runs += r >= 5 ? r : 0;
  s["long_word_runs"] = of(in_long_runs, word_count);

  std::vector<double> line_sizes;
  std::set<std::string> seen_lines, seen_begins;
  double filled = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto& line = lines[i];
    if (line.empty()) continue;
    ++filled;
    const Token &first = line.front(), &last = line.back();
    line_sizes.push_back(static_cast<double>(last.end - first.begin));
    s["one_token_lines"] += line.size() == 1;
    s["indented_lines"] += indented[i];
    auto ends = [&](std::string_view with) {
      return last.kind == Token::kMark && last.mark != 0 && with.find(last.mark) != std::string_view::npos;
    };
    s["lines_end_stop"] += ends(".?!");
    s["lines_end_colon"] += ends(":");
    s["lines_end_comma"] += ends(",");
    s["lines_end_code"] += ends(";{}()");
    s["lines_end_word"] += last.kind == Token::kWord;
    const bool bullet = first.kind == Token::kMark && (first.mark == '*' || first.mark == '-' || first.mark == '+');
    s[first.kind == Token::kWord     ? first.capital() ? "lines_begin_upper" : "lines_begin_lower"
      : first.kind == Token::kNumber ? "lines_begin_digit"
      : bullet                       ? "lines_begin_bullet"
                                     : "lines_begin_mark"] += 1;
    std::string key;
    for (const Token& t : line) key += (t.kind == Token::kWord ? t.word : std::to_string(code(t, vocabulary))) + ' ';
    s["duplicate_lines"] += !seen_lines.insert(key).second;
    s["lines_begin_alike"] +=
        !seen_begins.insert(first.kind == Token::kWord ? first.word : std::string("\1") + first.mark).second;
  }
  for (const char* name :
       {"one_token_lines", "indented_lines", "lines_end_stop", "lines_end_colon", "lines_end_comma", "lines_end_code",
        "lines_end_word", "lines_begin_upper", "lines_begin_lower", "lines_begin_digit", "lines_begin_bullet",
        "lines_begin_mark", "duplicate_lines", "lines_begin_alike"}) {
    s[name] = of(s[name], filled);
  }
  s["blank_lines"] = of(line_ends - std::min(line_ends, filled), line_ends);
  s["line_length"] = std::log1p(mean(line_sizes));
  s["line_spread"] = spread(line_sizes);
  s["short_lines"] = share(line_sizes, [](double x) { return x < 20; });
  s["medium_lines"] = share(line_sizes, [](double x) { return x >= 60 && x <= 80; });
  s["long_lines"] = share(line_sizes, [](double x) { return x > 120; });

  std::vector<double> paragraph_sizes;
  double prose = 0, paragraph_words = 0;
  for (const auto& paragraph : paragraphs) {
    double size = 0;
    for (const Token& t : paragraph) size += t.kind != Token::kMark;
    if (size == 0) continue;
    paragraph_sizes.push_back(size);
    paragraph_words += size;
    const Token& last = paragraph.back();
    if (last.kind == Token::kMark && last.mark != 0 &&
        std::string_view(".?!:").find(last.mark) != std::string_view::npos && size >= 15) {
      prose += size;
    }
  }
  s["paragraph_length"] = std::log1p(mean(paragraph_sizes));
  s["paragraph_spread"] = spread(paragraph_sizes);
  s["short_paragraphs"] = share(paragraph_sizes, [](double x) { return x <= 5; });
  s["prose"] = of(prose, paragraph_words);
  double in_medium = 0, in_all = 0;
  for (double x : sentences) in_all += x, in_medium += x >= 8 && x <= 35 ? x : 0;
  s["sentence_length"] = std::log1p(mean(sentences));
  s["sentence_spread"] = spread(sentences);
  s["short_sentences"] = share(sentences, [](double x) { return x <= 3; });
  s["long_sentences"] = share(sentences, [](double x) { return x > 40; });
  s["medium_sentences"] = of(in_medium, in_all);
  s["non_ascii"] = of(high, bytes);
  s["digits"] = of(digit_bytes, bytes);
  s["spaces"] = of(bytes - token_bytes, bytes);
  s["repeated_marks"] = of(repeated, total);
  s["other_marks"] = std::sqrt(of(marks[0], total));
  for (char mark : std::string(".,;:?!'\"()[]{}<>=+-*/\\|@#$%&^~`")) {
    s[std::string("mark ") + mark] = std::sqrt(of(marks[mark], total));
  }
  const auto groups = curate::style_word_groups();
  for (std::size_t g = 0, i = curate::style_statistic_names().size() - groups.size(); g < groups.size(); ++g, ++i) {
    double found = 0;
    for (const std::string& member : base::split(groups[g], ' ')) {
      for (const std::string& word : words) found += word == member;
    }
    s[curate::style_statistic_names()[i]] = of(found, word_count);
  }
  return page;
}

/// The score of a text that is read in one piece.
inline double score(const curate::TextbookWeights& weights, std::string_view text) {
  Page page = read(text, weights.words);
  double total = 0, sum = 0, trees = 0;
  for (auto [gram, count] : page.grams) total += count;
  for (auto [gram, count] : page.grams)
    sum += weights.grams[gram] * double{weights.gram_unit} * std::sqrt(count / total);
  for (const curate::StyleTree& tree : weights.trees) {
    std::size_t node = 0;
    while (node < 7) {
      const float value = static_cast<float>(page.statistics[curate::style_statistic_names()[tree.feature[node]]]);
      node = 2 * node + (value > tree.threshold[node] ? 2 : 1);
    }
    trees += tree.leaf[node - 7];
  }
  const double z = weights.gram_weight * (weights.gram_bias + sum) + weights.tree_weight * trees + weights.offset;
  return 1 / (1 + std::exp(-z));
}

}  // namespace slow_style
