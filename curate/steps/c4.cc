// C4's line rules (Raffel et al. 2020) as datatrove or tensorflow_datasets decides them. Tested by
// tests/curate/steps/rules_test.cc and tests/curate/presets_test.cc.
#include "curate/steps/c4.h"

#include <algorithm>
#include <span>

#include "base/unicode.h"
#include "curate/steps/judge.h"
#include "curate/text/lines.h"
#include "curate/text/punkt.h"
#include "curate/text/unspaced.h"

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
// A part of each pattern that is rare in English, by which candidates are found, and its place in the pattern.
struct Anchor {
  char bytes[3];
  std::uint8_t at[std::size(kPatterns)];  // offset in each pattern; 255: not in it
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

// U+212A KELVIN SIGN is the one letter outside ASCII whose lower case completes a pattern.
constexpr std::string_view kKelvinSign = "\xE2\x84\xAA";

// Parts of line.split(), and the code points of the longest.
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
  semantics.visit(v, {"datatrove-0.10", "icu", "datatrove-0.2", "tensorflow-datasets"});
  v("max_document_length", max_document_length, "drop documents of more characters (0: off)")
      .at_least(0)
      .unit("characters");
  v("filter_no_terminal_punct", filter_no_terminal_punct,
    "drop lines that do not end in . ? ! \" or (not tensorflow-datasets) ' or (icu, where there are letters of scripts "
    "without spaces) a mark of another script");
  v("min_num_sentences", min_num_sentences, "fewest sentences of a document (-1: off)").at_least(-1);
  v("min_words_per_line", min_words_per_line, "drop lines of fewer words (-1: off)").at_least(-1);
  v("max_word_length", max_word_length, "drop lines with a longer word (-1: off)").at_least(-1);
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

std::vector<std::string> C4::files() const {
  std::vector<std::string> files = semantics.files();
  if (!bad_words.empty()) files.push_back(bad_words);
  return files;
}

namespace {

// What the rules ask about one line.
struct Line {
  std::string_view whole;                // stripped, as it stands in the document
  std::string_view text;                 // the same without citations, once they are removed; not stripped again
  bool edited = false;                   // text is not whole
  std::span<const Word> words;           // spaCy's of `whole`, after `split_again` of `text`
  bool ends_with_space_token = false;    // of `text`, after `split_again`
  std::int64_t chunks = 0, longest = 0;  // parts of whole.split(), and code points of the longest
  bool phrases[3] = {};                  // of `text`
  bool has(Phrase phrase) const { return phrases[static_cast<std::size_t>(phrase)]; }
};

// Cuts a document into lines. Words and phrases are found once for the whole text and handed out line by line; only
// where that cannot be right, a line is searched alone.
class LineCutter {
 public:
  LineCutter(Document& document, Splitter splitter)
      : spacy_(splitter == Splitter::kSpacy || splitter == Splitter::kDictionary),
        dictionary_(splitter == Splitter::kDictionary ? &document.scratch().dictionary_words : nullptr),
        text_(document.text()),
        line_words_(document.scratch().words),
        sentences_(document.scratch().parts) {
    if (spacy_) {
      words_ = document.words(splitter).all();
      // When datatrove's splitter deleted something, the words do not point into the text.
      words_fit_ = document.words(splitter).base().data() == text_.data();
    }
    all_marks_ = dictionary_ != nullptr && !document.ascii() && has_unspaced(text_);
    fold_ = !document.ascii() && text_.find(kKelvinSign) != std::string_view::npos;
    if (!fold_) find_phrases(text_, phrases_);
  }
  // The lines of document.lines(), in order.
  Line cut(std::string_view whole) {
    Line line;
    line.whole = line.text = strip(whole);
    const auto begin = static_cast<std::size_t>(line.text.data() - text_.data()), end = begin + line.text.size();
    if (words_fit_) {
      take_words(line, begin, end);
    } else {
      if (spacy_) split_again(line);
      count_chunks(line.text, line.chunks, line.longest);
    }
    if (fold_) {
      search_phrases(line);
    } else {
      take_phrases(line, begin, end);
    }
    return line;
  }
  // `recount`: the line's chunks are counted when the citations are gone.
  void remove_citations(Line& line, bool recount) {
    if (line.text.find('[') == std::string_view::npos) return;
    without_ = without_citations(line.text);
    if (without_.size() == line.text.size()) return;
    line.text = without_;
    line.edited = true;
    if (recount) {
      line.chunks = 0;
      count_chunks(line.text, line.chunks, line.longest);
    }
    search_phrases(line);
  }
  // Makes `line.words` those of `line.text`.
  void split_again(Line& line) {
    auto split = [&line](auto& words) {
      words.split(line.text);
      line.words = words.all();
      line.ends_with_space_token = words.ends_with_space_token();
    };
    if (dictionary_ != nullptr) {
      split(*dictionary_);
    } else {
      split(line_words_);
    }
  }
  // Those of `line.text`; spaCy's sentences are told from `line.words`.
  std::size_t count_sentences(const Line& line) {
    if (spacy_) return curate::count_sentences(line.words, line.ends_with_space_token);
    Punkt::english().split(line.text, sentences_);
    return sentences_.size();
  }
  bool spacy() const { return spacy_; }
  // Do marks of other scripts end a line? In a text without such letters all is as without a dictionary.
  bool takes_all_marks() const { return all_marks_; }
  // Are the words of the lines those that Document::replace_text wants to be told of?
  bool counts_words() const { return words_fit_ && dictionary_ == nullptr; }

 private:
  void take_words(Line& line, std::size_t begin, std::size_t end) {
    while (next_word_ < words_.size() && words_[next_word_].offset < begin) ++next_word_;
    const std::size_t first = next_word_;
    while (next_word_ < words_.size() && words_[next_word_].offset < end) ++next_word_;
    line.words = words_.subspan(first, next_word_ - first);
    std::int64_t length = 0;
    for (const Word& word : line.words) {
      if (word.flags & Word::kAfterSpace) {
        ++line.chunks;
        length = 0;
      }
      length += word.code_points;
      line.longest = std::max(line.longest, length);
    }
  }
  void take_phrases(Line& line, std::size_t begin, std::size_t end) {
    while (next_phrase_ < phrases_.size() && phrases_[next_phrase_].first < begin) ++next_phrase_;
    for (; next_phrase_ < phrases_.size() && phrases_[next_phrase_].first < end; ++next_phrase_)
      line.phrases[static_cast<std::size_t>(phrases_[next_phrase_].second)] = true;
  }
  void search_phrases(Line& line) {
    if (fold_) folded_ = base::to_lower(line.text);
    find_phrases(fold_ ? std::string_view(folded_) : line.text, line_phrases_);
    std::fill(std::begin(line.phrases), std::end(line.phrases), false);
    for (const auto& [place, phrase] : line_phrases_) line.phrases[static_cast<std::size_t>(phrase)] = true;
  }

  bool all_marks_ = false;
  bool spacy_, words_fit_ = false;  // spaCy's tokens and sentences, with or without a dictionary
  DictionaryWords* dictionary_;
  bool fold_;  // lower case is more than that of ASCII
  std::string_view text_;
  std::span<const Word> words_;
  std::vector<std::pair<std::uint32_t, Phrase>> phrases_, line_phrases_;
  std::size_t next_word_ = 0, next_phrase_ = 0;
  SpacyWords& line_words_;
  std::vector<std::string_view>& sentences_;
  std::string without_, folded_;  // what the text of the last line may point into
};

// What becomes of a line, and why: in words, or the name of the reason for which the page is dropped.
struct Fate {
  enum Kind { kStays, kGoes, kPageGoes };
  Kind kind = kStays;
  std::string_view why;
};

// The rules about lines in their order. tensorflow_datasets' differ in what ends a line, when words are counted, and in
// the names of reasons.
Fate judge_line(const C4& rules, LineCutter& cutter, Line& line) {
  const bool tensorflow = rules.semantics == Semantics::kTensorflow;
  if (rules.max_word_length != -1 && line.longest > rules.max_word_length)
    return {Fate::kGoes, "has a word longer than max_word_length"};
  if (rules.remove_citations) cutter.remove_citations(line, tensorflow);
  if (rules.filter_no_terminal_punct && !ends_sentence(line.text, tensorflow ? ".?!\"" : ".?!\"'") &&
      !(cutter.takes_all_marks() && !line.text.ends_with("...") && ends_in_terminal_mark(line.text)))
    return {Fate::kGoes, "does not end a sentence"};
  if (line.chunks < rules.min_words_per_line) return {Fate::kGoes, "has fewer words than min_words_per_line"};
  if (rules.filter_lorem_ipsum && line.has(Phrase::kLoremIpsum))
    return {Fate::kPageGoes, tensorflow ? "loremipsum" : "lorem_ipsum"};
  if (rules.filter_javascript && line.has(Phrase::kJavascript)) return {Fate::kGoes, "speaks of JavaScript"};
  if (rules.filter_curly_bracket && line.text.find('{') != std::string_view::npos)
    return {Fate::kPageGoes, tensorflow ? "squigglybracket" : "curly_bracket"};
  if (rules.filter_policy && line.has(Phrase::kPolicy)) return {Fate::kGoes, "speaks of a policy or cookies"};
  return {};
}

}  // namespace

Verdict C4::apply(Document& document, std::vector<Measure>* measures, std::vector<Evidence>* evidence) const {
  Judge judge(measures, document);
  if (max_document_length != 0 &&
      judge.above("too_long", document.code_points(), static_cast<double>(max_document_length)))
    return judge.verdict();
  LineCutter cutter(document, semantics.splitter());
  std::string kept;
  std::size_t kept_words = 0, sentences = 0;
  for (std::string_view whole : document.lines()) {
    Line line = cutter.cut(whole);
    const Fate fate = judge_line(*this, cutter, line);
    if (fate.kind != Fate::kStays && evidence != nullptr)
      evidence->push_back({std::string(fate.why), line.whole, 1, 0});
    if (fate.kind == Fate::kGoes) continue;
    if (fate.kind == Fate::kPageGoes) {
      judge.check(fate.why, 1, 0, true);
      return judge.verdict();
    }
    if (line.edited && cutter.spacy()) cutter.split_again(line);
    if (min_num_sentences != -1) sentences += cutter.count_sentences(line);
    kept_words += line.words.size();
    kept += line.text;
    kept += '\n';
  }
  if (min_num_sentences != -1 &&
      judge.below("too_few_sentences", static_cast<double>(sentences), static_cast<double>(min_num_sentences)))
    return judge.verdict();
  if (!judge.verdict().keep) return judge.verdict();
  const std::string_view result = strip(kept);
  if (bad_words_) {
    const bool found = bad_words_->found_in(result);
    if (judge.check("badwords", found, 0, found) || !judge.verdict().keep) return judge.verdict();
  }
  if (result == document.text()) return judge.verdict();
  if (cutter.counts_words()) {
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
