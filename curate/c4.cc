#include "curate/c4.h"

#include <algorithm>

#include "base/unicode.h"
#include "curate/judge.h"
#include "curate/lines.h"
#include "curate/punkt.h"

namespace curate {
namespace {

struct Pattern {
  std::string_view text;
  Phrase phrase;
};
constexpr Pattern kPatterns[] = {{"lorem ipsum", Phrase::kLoremIpsum}, {"javascript", Phrase::kJavascript},
                                 {"terms of use", Phrase::kPolicy},    {"privacy policy", Phrase::kPolicy},
                                 {"cookie policy", Phrase::kPolicy},   {"uses cookies", Phrase::kPolicy},
                                 {"use of cookies", Phrase::kPolicy},  {"use cookies", Phrase::kPolicy}};
/// A part of each pattern that is rare in English, by which candidates are found, and its place in the pattern.
struct Anchor {
  char bytes[3];
  std::uint8_t at[std::size(kPatterns)];  ///< offset in each pattern; 255: not in it
};
constexpr std::uint8_t kNo = 255;
constexpr Anchor kAnchors[] = {{{'m', ' ', 'i'}, {4, kNo, kNo, kNo, kNo, kNo, kNo, kNo}},
                               {{'j', 'a', 'v'}, {kNo, 0, kNo, kNo, kNo, kNo, kNo, kNo}},
                               {{'f', ' ', 'u'}, {kNo, kNo, 7, kNo, kNo, kNo, kNo, kNo}},
                               {{'y', ' ', 'p'}, {kNo, kNo, kNo, 6, kNo, kNo, kNo, kNo}},
                               {{'o', 'k', 'i'}, {kNo, kNo, kNo, kNo, 2, 7, 9, 6}}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool matches(std::string_view text, std::size_t at, std::string_view pattern) {
  if (at + pattern.size() > text.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (lower(text[at + i]) != pattern[i]) return false;
  }
  return true;
}

void find_at(std::string_view text, std::size_t position, std::vector<std::pair<std::uint32_t, Phrase>>& found) {
  for (const Anchor& anchor : kAnchors) {
    if (!matches(text, position, std::string_view(anchor.bytes, 3))) continue;
    for (std::size_t p = 0; p < std::size(kPatterns); ++p) {
      std::size_t at = anchor.at[p];
      if (at == kNo || at > position || !matches(text, position - at, kPatterns[p].text)) continue;
      found.emplace_back(static_cast<std::uint32_t>(position - at), kPatterns[p].phrase);
    }
  }
}

/// U+212A KELVIN SIGN is the one letter outside ASCII whose lower case completes a pattern.
constexpr std::string_view kKelvinSign = "\xE2\x84\xAA";

/// Parts of line.split(), and the code points of the longest.
void count_chunks(std::string_view line, std::int64_t& chunks, std::int64_t& longest) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= line.size();) {
    std::size_t space = i < line.size() ? space_length(line, i) : 1;
    if (space > 0 && i > begin) {
      ++chunks;
      longest = std::max<std::int64_t>(longest, count_code_points(line.substr(begin, i - begin)));
    }
    i += std::max<std::size_t>(space, 1);
    if (space > 0) begin = i;
  }
}

bool ends_sentence(std::string_view line, std::string_view marks) {
  return !line.empty() && !line.ends_with("...") && marks.find(line.back()) != std::string_view::npos;
}

}  // namespace

void find_phrases(std::string_view text, std::vector<std::pair<std::uint32_t, Phrase>>& found) {
  found.clear();
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t i = 0;
  for (; i + 66 <= text.size(); i += 64) {  // blocks without an anchor are skipped as a whole
    unsigned char any = 0;
    for (std::size_t j = 0; j < 64; ++j) {
      unsigned char a = p[i + j] | 0x20, b = p[i + j + 1] | 0x20, c = p[i + j + 2] | 0x20;
      any |= ((a == 'm') & (b == ' ') & (c == 'i')) | ((a == 'j') & (b == 'a') & (c == 'v')) |
             ((a == 'f') & (b == ' ') & (c == 'u')) | ((a == 'y') & (b == ' ') & (c == 'p')) |
             ((a == 'o') & (b == 'k') & (c == 'i'));
    }
    if (!any) continue;
    for (std::size_t j = 0; j < 64; ++j) find_at(text, i + j, found);
  }
  for (; i < text.size(); ++i) find_at(text, i, found);
  std::sort(found.begin(), found.end());
}

std::string without_citations(std::string_view line) {
  std::string result;
  std::size_t start = 0, search = 0;
  for (;;) {
    std::size_t open = line.find('[', search);
    if (open == std::string_view::npos) break;
    std::string_view inside = line.substr(open + 1);
    std::size_t length = 0;
    if (inside.starts_with("edit]")) length = 6;
    if (inside.starts_with("citation needed]")) length = 17;
    for (std::size_t at = 0; length == 0 && at < inside.size();) {
      if (inside[at] == ']')
        length = at + 2;
      else if (!base::is_decimal_digit(base::next_code_point(inside, at)))
        break;
    }
    search = open + 1;
    if (length == 0) continue;
    result += line.substr(start, open - start);
    start = search = open + length;
  }
  return result += line.substr(start);
}

void C4::visit(base::OptionVisitor& v) {
  semantics.visit(v, {"datatrove-0.10", "datatrove-0.2", "tensorflow-datasets"});
  v("max_document_length", max_document_length, "drop documents of more characters (0: off)");
  v("filter_no_terminal_punct", filter_no_terminal_punct,
    "drop lines that do not end in . ? ! \" or (not tensorflow-datasets) '");
  v("min_num_sentences", min_num_sentences, "fewest sentences of a document (-1: off)");
  v("min_words_per_line", min_words_per_line, "drop lines of fewer words (-1: off)");
  v("max_word_length", max_word_length, "drop lines with a longer word (-1: off)");
  v("remove_citations", remove_citations, "remove [1], [edit] and [citation needed]");
  v("filter_lorem_ipsum", filter_lorem_ipsum, "drop documents with \"lorem ipsum\"");
  v("filter_javascript", filter_javascript, "drop lines with \"javascript\"");
  v("filter_curly_bracket", filter_curly_bracket, "drop documents with a {");
  v("filter_policy", filter_policy, "drop lines about cookies, privacy and terms of use");
  v("bad_words", bad_words, "drop documents with a word of this file, one a line", base::PathKind::kPath);
}

void C4::prepare() {
  semantics.prepare();
  bad_words_ = bad_words.empty() ? nullptr : std::make_shared<const BadWords>(bad_words);
}

Verdict C4::apply(Document& document, std::vector<Measure>* measures, std::vector<Evidence>* evidence) const {
  Judge judge(measures, document);
  const std::string_view text = document.text();
  const bool original = semantics == Semantics::kTensorflow;
  if (max_document_length != 0 &&
      judge.above("too_long", document.code_points(), static_cast<double>(max_document_length))) {
    return judge.verdict();
  }
  static const std::vector<Word> kNoWords;
  const bool spacy = semantics.splitter() == Splitter::kSpacy;
  const std::vector<Word>& all = spacy ? document.words().all() : kNoWords;
  // When datatrove's splitter deleted something, the words do not point into the text: then lines are split alone.
  const bool words_fit = spacy && document.words().base().data() == text.data();
  const bool fold_all = !document.ascii() && text.find(kKelvinSign) != std::string_view::npos;
  std::vector<std::pair<std::uint32_t, Phrase>> phrases, line_phrases;
  if (!fold_all) find_phrases(text, phrases);
  SpacyWords& line_words = document.scratch().words;
  std::vector<std::string_view>& line_sentences = document.scratch().parts;

  auto note = [&](std::string_view line, std::string_view what) {
    if (evidence != nullptr) evidence->push_back({std::string(what), line, 1, 0});
  };
  std::string kept, edited, folded;
  std::size_t word = 0, phrase = 0, kept_words = 0;
  std::int64_t sentences = 0;
  for (std::string_view whole : document.lines()) {
    std::string_view line = strip(whole);
    const auto begin = static_cast<std::size_t>(line.data() - text.data()), end = begin + line.size();
    while (words_fit && word < all.size() && all[word].offset < begin) ++word;
    std::size_t first = word;
    while (words_fit && word < all.size() && all[word].offset < end) ++word;
    std::span<const Word> in_line(all.data() + first, word - first);
    if (spacy && !words_fit) {
      line_words.split(line);
      in_line = line_words.all();
    }
    std::int64_t chunks = 0, longest = 0;  // of line.split(), in code points
    if (words_fit) {
      std::int64_t length = 0;
      for (const Word& w : in_line) {
        if (w.flags & Word::kAfterSpace) {
          ++chunks;
          length = 0;
        }
        length += w.code_points;
        longest = std::max(longest, length);
      }
    } else {
      count_chunks(line, chunks, longest);
    }
    while (phrase < phrases.size() && phrases[phrase].first < begin) ++phrase;
    bool found[3] = {};
    for (; phrase < phrases.size() && phrases[phrase].first < end; ++phrase) {
      found[static_cast<int>(phrases[phrase].second)] = true;
    }

    if (max_word_length != -1 && longest > max_word_length) {
      note(line, "has a word longer than max_word_length");
      continue;
    }
    bool line_edited = false;
    if (remove_citations && line.find('[') != std::string_view::npos) {
      edited = without_citations(line);
      line_edited = edited.size() != line.size();
      if (line_edited) line = edited;
      if (line_edited && original) count_chunks(line, chunks = 0, longest);
    }
    if (filter_no_terminal_punct && !ends_sentence(line, original ? ".?!\"" : ".?!\"'")) {
      note(strip(whole), "does not end a sentence");
      continue;
    }
    if (chunks < min_words_per_line) {
      note(strip(whole), "has fewer words than min_words_per_line");
      continue;
    }
    if (line_edited || fold_all) {
      if (fold_all) folded = base::to_lower(line);
      find_phrases(fold_all ? std::string_view(folded) : line, line_phrases);
      found[0] = found[1] = found[2] = false;
      for (const auto& [place, kind] : line_phrases) found[static_cast<int>(kind)] = true;
    }
    if (filter_lorem_ipsum && found[static_cast<int>(Phrase::kLoremIpsum)]) {
      note(strip(whole), original ? "loremipsum" : "lorem_ipsum");
      judge.check(original ? "loremipsum" : "lorem_ipsum", 1, 0, true);
      return judge.verdict();
    }
    if (filter_javascript && found[static_cast<int>(Phrase::kJavascript)]) {
      note(strip(whole), "speaks of JavaScript");
      continue;
    }
    if (filter_curly_bracket && line.find('{') != std::string_view::npos) {
      note(strip(whole), original ? "squigglybracket" : "curly_bracket");
      judge.check(original ? "squigglybracket" : "curly_bracket", 1, 0, true);
      return judge.verdict();
    }
    if (filter_policy && found[static_cast<int>(Phrase::kPolicy)]) {
      note(strip(whole), "speaks of a policy or cookies");
      continue;
    }
    bool trailing = false;
    if (spacy && line_edited) {
      line_words.split(line);
      in_line = line_words.all();
      trailing = line_words.ends_with_space_token();
    }
    if (min_num_sentences != -1 && spacy) {
      sentences += static_cast<std::int64_t>(count_sentences(in_line, trailing));
    } else if (min_num_sentences != -1) {
      Punkt::english().split(line, line_sentences);
      sentences += static_cast<std::int64_t>(line_sentences.size());
    }
    kept_words += in_line.size();
    kept += line;
    kept += '\n';
  }
  if (judge.below("too_few_sentences", static_cast<double>(sentences), static_cast<double>(min_num_sentences))) {
    return judge.verdict();
  }
  if (!judge.verdict().keep) return judge.verdict();
  std::string_view result = strip(kept);
  if (bad_words_) {
    const bool found = bad_words_->found_in(result);
    if (judge.check("badwords", found, 0, found)) return judge.verdict();
    if (!judge.verdict().keep) return judge.verdict();
  }
  if (result == text) return judge.verdict();
  if (words_fit) {
    document.replace_text(std::string(result), kept_words);
  } else {
    document.replace_text(std::string(result));
  }
  return judge.verdict();
}

std::vector<Evidence> C4::evidence(Document& document, std::string_view measure) const {
  static constexpr std::string_view kOfDocument[] = {"lorem_ipsum", "loremipsum", "curly_bracket", "squigglybracket"};
  std::vector<Evidence> all, result;
  const std::string_view text = document.text();
  apply(document, nullptr, &all);
  document.reset(text, document.id(), document.source());  // what apply left is not wanted here
  for (Evidence& one : all) {
    const bool of_document =
        std::find(std::begin(kOfDocument), std::end(kOfDocument), one.what) != std::end(kOfDocument);
    if (of_document ? one.what != measure : !measure.empty()) continue;
    if (measure.ends_with("bracket")) one.span = one.span.substr(one.span.find('{'));
    if (of_document) one.what = "it stands here";
    result.push_back(std::move(one));
  }
  return result;
}

}  // namespace curate
