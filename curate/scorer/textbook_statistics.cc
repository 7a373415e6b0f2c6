// A page of statistics of how a text is written: shares, means and ratios, none of which grows with its length. Tested
// by tests/curate/scorer/textbook_model_test.cc.
#include "curate/scorer/textbook_statistics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "curate/scorer/textbook_sums.h"

namespace curate {
namespace {

// Word groups of the statistics: closed classes of English.
struct Group {
  const char* name;
  std::string_view words;
};
constexpr Group kGroups[] = {
    {"first_person", "i me my mine myself"},
    {"first_plural", "we us our ours ourselves let's"},
    {"second_person", "you your yours yourself"},
    {"third_person", "he him his she her hers himself herself"},
    {"it", "it its itself"},
    {"they", "they them their theirs themselves"},
    {"this", "this that these those"},
    {"which", "which who whom whose what when where why how"},
    {"be", "is are was were be been being am"},
    {"past", "was were had did said"},
    {"modal", "can could may might must shall should will would cannot"},
    {"negation", "not no never nor don't doesn't can't won't isn't didn't"},
    {"conjunction", "and but or so because although though while if unless since whereas"},
    {"article", "the a an"},
    {"preposition", "of in to for with on at by from as into through over under between"},
    {"discourse",
     "however therefore thus hence example instance note consider suppose first next then finally similarly instead "
     "rather also"},
};
constexpr std::size_t kGroupCount = std::size(kGroups);
static_assert(kGroupCount <= 32);
constexpr std::string_view kMarks = ".,;:?!'\"()[]{}<>=+-*/\\|@#$%&^~`";

enum Statistic : std::size_t {
  kWords,
  kNumbers,
  kMixeds,
  kMarkTokens,
  kBreaks,
  kKnown,
  kCommon,
  kWordLength,
  kWordLengthSpread,
  kLongWords,
  kShortWords,
  kCapitalised,
  kUpper,
  kCamel,
  kVariety,
  kTokenVariety,
  kWordAfterWord,
  kRunLength,
  kLongRuns,
  kBlankLines,
  kLineLength,
  kLineSpread,
  kShortLines,
  kMediumLines,
  kLongLines,
  kOneTokenLines,
  kEndStop,
  kEndColon,
  kEndComma,
  kEndCode,
  kEndWord,
  kBeginUpper,
  kBeginLower,
  kBeginDigit,
  kBeginBullet,
  kBeginMark,
  kIndented,
  kDuplicateLines,
  kSameBegin,
  kParagraphLength,
  kParagraphSpread,
  kShortParagraphs,
  kProse,
  kSentenceLength,
  kSentenceSpread,
  kShortSentences,
  kLongSentences,
  kMediumSentences,
  kNonAscii,
  kDigitBytes,
  kSpaceBytes,
  kRepeatedMarks,
  kOtherMarks,
  kFirstMark,
  kFirstGroup = kFirstMark + kMarks.size(),
  kStatistics = kFirstGroup + kGroupCount
};
constexpr const char* kNames[] = {"words",
                                  "numbers",
                                  "mixed",
                                  "marks",
                                  "breaks",
                                  "known_words",
                                  "common_words",
                                  "word_length",
                                  "word_length_spread",
                                  "long_words",
                                  "short_words",
                                  "capitalised",
                                  "upper_case",
                                  "camel_case",
                                  "word_variety",
                                  "token_variety",
                                  "word_after_word",
                                  "word_run",
                                  "long_word_runs",
                                  "blank_lines",
                                  "line_length",
                                  "line_spread",
                                  "short_lines",
                                  "medium_lines",
                                  "long_lines",
                                  "one_token_lines",
                                  "lines_end_stop",
                                  "lines_end_colon",
                                  "lines_end_comma",
                                  "lines_end_code",
                                  "lines_end_word",
                                  "lines_begin_upper",
                                  "lines_begin_lower",
                                  "lines_begin_digit",
                                  "lines_begin_bullet",
                                  "lines_begin_mark",
                                  "indented_lines",
                                  "duplicate_lines",
                                  "lines_begin_alike",
                                  "paragraph_length",
                                  "paragraph_spread",
                                  "short_paragraphs",
                                  "prose",
                                  "sentence_length",
                                  "sentence_spread",
                                  "short_sentences",
                                  "long_sentences",
                                  "medium_sentences",
                                  "non_ascii",
                                  "digits",
                                  "spaces",
                                  "repeated_marks",
                                  "other_marks"};
static_assert(std::size(kNames) == kFirstMark);

bool is_stop(std::uint8_t mark) { return mark == '.' || mark == '?' || mark == '!'; }

}  // namespace

std::span<const std::string> style_statistic_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all(std::begin(kNames), std::end(kNames));
    for (char mark : kMarks) all.push_back(std::string("mark ") + mark);
    for (const Group& group : kGroups) all.push_back(std::string("group ") + group.name);
    return all;
  }();
  return names;
}

std::span<const std::string_view> style_word_groups() {
  static const std::vector<std::string_view> words = [] {
    std::vector<std::string_view> all;
    for (const Group& group : kGroups) all.push_back(group.words);
    return all;
  }();
  return words;
}

namespace {

struct Totals {
  std::array<std::uint32_t, 5> kinds{};
  std::array<std::uint32_t, 128> marks{};
  std::array<std::uint32_t, kGroupCount> groups{};
  std::uint32_t token_bytes = 0, digit_bytes = 0, repeated = 0, line_ends = 0;
  std::uint32_t long_words = 0, short_words = 0, capitalised = 0, upper = 0, camel = 0, known = 0, common = 0;
  std::uint32_t word_after_word = 0, long_run_words = 0, run = 0;
  std::uint32_t short_lines = 0, medium_lines = 0, long_lines = 0, one_token_lines = 0, indented_lines = 0;
  std::uint32_t end_stop = 0, end_colon = 0, end_comma = 0, end_code = 0, end_word = 0;
  std::uint32_t begin_upper = 0, begin_lower = 0, begin_digit = 0, begin_bullet = 0, begin_mark = 0, same_begin = 0;
  std::uint32_t duplicate_lines = 0, short_paragraphs = 0, prose_words = 0;
  std::uint32_t short_sentences = 0, long_sentences = 0, medium_sentence_words = 0, sentence_words = 0,
                paragraph_words = 0;
  Moments word_size, line_size, paragraph_size, sentence_size, runs;
  std::uint64_t line_hash = 1;
  std::uint32_t line_begin = 0, last_end = 0, line_tokens = 0;
  StyleKind last_kind{};
  std::uint8_t last_mark = 0;
  bool stop_before = false, indented = false;
};

}  // namespace

struct StyleStatistics::Sums : Totals {
  Variety words{100}, codes{200};
  Seen<4096> lines, begins;  // whole lines, and what lines begin with

  void clear() {
    static_cast<Totals&>(*this) = Totals{};
    words.clear();
    codes.clear();
    lines.clear();
    begins.clear();
  }
  void add(const StyleToken& token, const StyleWord& word, std::uint32_t code) {
    ++kinds[static_cast<std::size_t>(token.kind)];
    codes.add(token.kind == StyleKind::kWord ? token.hash : code);
    const std::uint32_t size = token.end - token.begin;
    if (token.kind == StyleKind::kBreak) {
      end_run();
      end_line();
      if (token.count > 1) end_paragraph();
      line_ends += token.count;
      indented = token.indent > 0;
      return;
    }
    token_bytes += size;
    // Did the mark before end a sentence? Only when white space follows it.
    if (stop_before && token.begin > last_end) end_sentence();
    stop_before = false;
    if (line_tokens++ == 0) begin_line(token);
    line_hash = (line_hash ^ (token.kind == StyleKind::kWord ? token.hash : code)) * 0x9E3779B97F4A7C15ull;
    line_hash ^= line_hash >> 29;
    last_end = token.end;
    last_kind = token.kind;
    last_mark = token.mark;
    if (token.kind == StyleKind::kWord) {
      if (run > 0) ++word_after_word;
      ++run;
      add_word(token, word);
    } else {
      end_run();
    }
    if (token.kind == StyleKind::kMark) {
      marks[token.mark & 127] += 1;
      repeated += token.count > 3;
      stop_before = is_stop(token.mark);
    } else {
      ++sentence_words;
      ++paragraph_words;
      if (token.kind == StyleKind::kNumber) digit_bytes += size;
    }
  }
  // The end of a piece: a line, a paragraph and a sentence end there.
  void end_piece() {
    end_run();
    end_line();
    end_paragraph();
    indented = false;
  }

  void begin_line(const StyleToken& token) {
    line_begin = token.begin;
    if (token.kind == StyleKind::kWord)
      ++(token.first_capital ? begin_upper : begin_lower);
    else if (token.kind == StyleKind::kNumber)
      ++begin_digit;
    else if (token.kind == StyleKind::kMark && (token.mark == '*' || token.mark == '-' || token.mark == '+'))
      ++begin_bullet;
    else
      ++begin_mark;
    const std::uint64_t key = token.kind == StyleKind::kWord ? token.hash : token.mark + 1u;
    same_begin += !begins.insert(key);
  }
  void end_line() {
    if (line_tokens == 0) return;
    const double size = last_end - line_begin;
    line_size.add(size);
    short_lines += size < 20;
    medium_lines += size >= 60 && size <= 80;
    long_lines += size > 120;
    one_token_lines += line_tokens == 1;
    if (last_kind == StyleKind::kWord) ++end_word;
    if (last_kind == StyleKind::kMark) {
      end_stop += is_stop(last_mark);
      end_colon += last_mark == ':';
      end_comma += last_mark == ',';
      end_code += std::string_view(";{}()").find(static_cast<char>(last_mark)) != std::string_view::npos;
    }
    indented_lines += indented;
    duplicate_lines += !lines.insert(line_hash);
    line_tokens = 0;
    line_hash = 1;
  }
  void end_sentence() {
    stop_before = false;
    if (sentence_words == 0) return;
    sentence_size.add(sentence_words);
    short_sentences += sentence_words <= 3;
    long_sentences += sentence_words > 40;
    if (sentence_words >= 8 && sentence_words <= 35) medium_sentence_words += sentence_words;
    sentence_words = 0;
  }
  void end_paragraph() {
    const bool closed = last_kind == StyleKind::kMark && (is_stop(last_mark) || last_mark == ':');
    end_sentence();
    if (paragraph_words > 0) {
      paragraph_size.add(paragraph_words);
      short_paragraphs += paragraph_words <= 5;
      if (closed && paragraph_words >= 15) prose_words += paragraph_words;
    }
    paragraph_words = 0;
  }
  void end_run() {
    if (run == 0) return;
    runs.add(run);
    if (run >= 5) long_run_words += run;
    run = 0;
  }
  void add_word(const StyleToken& token, const StyleWord& word) {
    word_size.add(token.count);
    long_words += token.count >= 8;
    short_words += token.count <= 2;
    if (token.count > 1 && token.capitals >= token.count)
      ++upper;
    else if (token.capitals > (token.first_capital ? 1 : 0))
      ++camel;
    else if (token.first_capital)
      ++capitalised;
    known += word.rank >= 0;
    common += word.rank >= 0 && word.rank < 128;
    for (std::uint32_t bits = word.groups; bits != 0; bits &= bits - 1) groups[std::countr_zero(bits)] += 1;
    words.add(token.hash);
  }
};

StyleStatistics::StyleStatistics() : sums_(std::make_unique<Sums>()) {}
StyleStatistics::~StyleStatistics() = default;
StyleStatistics::StyleStatistics(StyleStatistics&&) noexcept = default;
StyleStatistics& StyleStatistics::operator=(StyleStatistics&&) noexcept = default;

void StyleStatistics::clear() { sums_->clear(); }

void StyleStatistics::add(const StyleToken& token, const StyleWord& word, std::uint32_t code) {
  sums_->add(token, word, code);
}

void StyleStatistics::end_piece() { sums_->end_piece(); }

void StyleStatistics::finish(std::uint64_t bytes, std::uint64_t high_bytes, std::vector<float>& values) const {
  const Sums& s = *sums_;
  values.assign(kStatistics, 0);
  auto share = [](double part, double whole) { return static_cast<float>(whole > 0 ? part / whole : 0); };
  auto log_mean = [](const Moments& moments) { return static_cast<float>(std::log1p(moments.mean())); };
  const double words = s.kinds[0], lines = s.line_size.count, sentences = s.sentence_size.count;
  double tokens = 0;
  for (std::uint32_t kind : s.kinds) tokens += kind;
  for (std::size_t i = 0; i < s.kinds.size(); ++i) values[kWords + i] = share(s.kinds[i], tokens);
  values[kKnown] = share(s.known, words);
  values[kCommon] = share(s.common, words);
  values[kWordLength] = static_cast<float>(s.word_size.mean());
  values[kWordLengthSpread] = static_cast<float>(s.word_size.deviation());
  values[kLongWords] = share(s.long_words, words);
  values[kShortWords] = share(s.short_words, words);
  values[kCapitalised] = share(s.capitalised, words);
  values[kUpper] = share(s.upper, words);
  values[kCamel] = share(s.camel, words);
  values[kVariety] = static_cast<float>(s.words.share());
  values[kTokenVariety] = static_cast<float>(s.codes.share());
  values[kWordAfterWord] = share(s.word_after_word, tokens);
  values[kRunLength] = log_mean(s.runs);
  values[kLongRuns] = share(s.long_run_words, words);
  values[kBlankLines] = share(s.line_ends - std::min<double>(s.line_ends, lines), s.line_ends);
  values[kLineLength] = log_mean(s.line_size);
  values[kLineSpread] = static_cast<float>(s.line_size.spread());
  values[kShortLines] = share(s.short_lines, lines);
  values[kMediumLines] = share(s.medium_lines, lines);
  values[kLongLines] = share(s.long_lines, lines);
  values[kOneTokenLines] = share(s.one_token_lines, lines);
  values[kEndStop] = share(s.end_stop, lines);
  values[kEndColon] = share(s.end_colon, lines);
  values[kEndComma] = share(s.end_comma, lines);
  values[kEndCode] = share(s.end_code, lines);
  values[kEndWord] = share(s.end_word, lines);
  values[kBeginUpper] = share(s.begin_upper, lines);
  values[kBeginLower] = share(s.begin_lower, lines);
  values[kBeginDigit] = share(s.begin_digit, lines);
  values[kBeginBullet] = share(s.begin_bullet, lines);
  values[kBeginMark] = share(s.begin_mark, lines);
  values[kIndented] = share(s.indented_lines, lines);
  values[kDuplicateLines] = share(s.duplicate_lines, lines);
  values[kSameBegin] = share(s.same_begin, lines);
  values[kParagraphLength] = log_mean(s.paragraph_size);
  values[kParagraphSpread] = static_cast<float>(s.paragraph_size.spread());
  values[kShortParagraphs] = share(s.short_paragraphs, s.paragraph_size.count);
  values[kProse] = share(s.prose_words, s.paragraph_size.sum);
  values[kSentenceLength] = log_mean(s.sentence_size);
  values[kSentenceSpread] = static_cast<float>(s.sentence_size.spread());
  values[kShortSentences] = share(s.short_sentences, sentences);
  values[kLongSentences] = share(s.long_sentences, sentences);
  values[kMediumSentences] = share(s.medium_sentence_words, s.sentence_size.sum);
  values[kNonAscii] = share(static_cast<double>(high_bytes), static_cast<double>(bytes));
  values[kDigitBytes] = share(s.digit_bytes, static_cast<double>(bytes));
  values[kSpaceBytes] = share(static_cast<double>(bytes) - s.token_bytes, static_cast<double>(bytes));
  values[kRepeatedMarks] = share(s.repeated, tokens);
  values[kOtherMarks] = std::sqrt(share(s.marks[0], tokens));
  for (std::size_t i = 0; i < kMarks.size(); ++i) {
    values[kFirstMark + i] = std::sqrt(share(s.marks[static_cast<unsigned char>(kMarks[i])], tokens));
  }
  for (std::size_t i = 0; i < kGroupCount; ++i) values[kFirstGroup + i] = share(s.groups[i], words);
}

}  // namespace curate
