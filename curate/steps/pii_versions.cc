// Four numbers with dots that look like an IPv4 address and are none. Tested by tests/curate/steps/cleaning_test.cc.
#include "curate/steps/pii_versions.h"

#include <algorithm>
#include <iterator>
#include <string>

namespace curate {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_one_of(char c, std::string_view some) { return some.find(c) != std::string_view::npos; }

// Words before a version or a section's number.
constexpr std::string_view kVersionWords[] = {
    "v",       "ver",      "vers",      "version",   "versions",   "release",     "releases", "rel",     "build",
    "builds",  "revision", "rev",       "rv",        "firmware",   "fw",          "kernel",   "bios",    "driver",
    "drivers", "patch",    "hotfix",    "sdk",       "jdk",        "jre",         "java",     "openssl", "macos",
    "ios",     "android",  "chrome",    "chromium",  "firefox",    "safari",      "opera",    "msie",    "webkit",
    "gecko",   "mozilla",  "flash",     "player",    "acrobat",    "reader",      "itunes",   "clr",     "nt",
    "upgrade", "upgraded", "upgrading", "downgrade", "downgraded", "downgrading", "versione", "versie",  "wersja",
    "versión", "versão",   "версия",    "версии"};
constexpr std::string_view kSectionWords[] = {
    "section",    "sections",   "sec",       "sect",      "subsection", "chapter",  "chapters", "chap",
    "ch",         "clause",     "clauses",   "subclause", "article",    "articles", "art",      "paragraph",
    "paragraphs", "para",       "figure",    "figures",   "fig",        "figs",     "table",    "tables",
    "tab",        "appendix",   "annex",     "equation",  "eq",         "exercise", "theorem",  "lemma",
    "oid",        "regulation", "abschnitt", "kapitel",   "ziffer",     "chapitre", "sección",  "capítulo"};
// Words that may stand between such a word and the number, and between two numbers.
constexpr std::string_view kBetween[] = {"number", "numbers", "no",    "nr",    "is",   "was", "are",
                                         "to",     "from",    "and",   "or",    "the",  "of",  "than",
                                         "newer",  "older",   "later", "since", "until"};
// Words behind a version or a section's number.
constexpr std::string_view kBehind[] = {"release", "version", "build", "firmware", "beta",    "alpha",  "kernel",
                                        "driver",  "hotfix",  "patch", "rc",       "section", "clause", "chapter"};
// What stands before a slash and an address in paths, not a product.
constexpr std::string_view kNoProducts[] = {"ip",     "ipv4", "host", "hosts", "whois", "dns", "address", "addr",
                                            "server", "tcp",  "udp",  "http",  "https", "ftp", "and",     "or"};

template <std::size_t N>
bool is_in(const std::string_view (&words)[N], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

std::string lowered(std::string_view word) {
  std::string lower(word);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return lower;
}

// Reads the words of a line backwards.
class Backwards {
 public:
  Backwards(std::string_view text, std::size_t end) : text_(text), at_(end) {}
  // The word or dotted number before, lower-case; empty at the beginning of the line or before another character.
  std::string next() {
    constexpr std::size_t kMost = 40;
    while (at_ > 0 && (is_one_of(text_[at_ - 1], " \t:=([\"'`,;#~<>^*_-|") || is_space_or_section())) --at_;
    const std::size_t end = at_;
    while (at_ > 0 && end - at_ < kMost &&
           (is_letter(text_[at_ - 1]) || is_digit(text_[at_ - 1]) || text_[at_ - 1] == '.' || is_high(text_[at_ - 1])))
      --at_;
    std::string_view word = text_.substr(at_, end - at_);
    while (word.ends_with('.')) word.remove_suffix(1);
    return lowered(word);
  }
  // Was a § among what stood between the words?
  bool section() const { return section_; }

 private:
  // A byte of a letter that is not ASCII.
  bool is_high(char c) const {
    return (c & 0x80) && !(at_ > 1 && (c == '\xA0' || c == '\xA7') && text_[at_ - 2] == '\xC2');
  }
  // The bytes of a no-break space or §, in UTF-8.
  bool is_space_or_section() {
    const char c = text_[at_ - 1];
    if ((c == '\xA0' || c == '\xA7') && at_ > 1 && text_[at_ - 2] == '\xC2') {
      section_ |= c == '\xA7';
      return true;
    }
    return c == '\xC2' && at_ < text_.size() && is_one_of(text_[at_], "\xA0\xA7");
  }
  std::string_view text_;
  std::size_t at_;
  bool section_ = false;
};

bool is_number(std::string_view word) {
  return !word.empty() && is_digit(word[0]) &&
         std::all_of(word.begin(), word.end(), [](char c) { return is_digit(c) || c == '.'; });
}

// "Version 4.12.0.7", "versions 4.11.0.2 and 4.12.0.7", "ProductVersion: 4.12.0.7", "§ 4.12.0.7".
bool follows_its_word(std::string_view text, std::size_t begin) {
  constexpr int kMostWords = 6;
  Backwards words(text, begin);
  for (int i = 0; i < kMostWords; ++i) {
    const std::string word = words.next();
    if (words.section()) return true;
    if (word.empty()) return false;
    if (is_in(kVersionWords, word) || is_in(kSectionWords, word) || word.ends_with("version")) return true;
    if (!is_in(kBetween, word) && !is_number(word)) return false;
  }
  return false;
}

// "Chrome/80.0.1.2": a product's name before a slash, which no path, address or other slash stands before.
bool follows_product(std::string_view text, std::size_t begin) {
  constexpr std::size_t kMost = 40;
  if (begin < 2 || text[begin - 1] != '/') return false;
  std::size_t start = begin - 1;
  while (start > 0 && begin - start < kMost &&
         (is_letter(text[start - 1]) || is_digit(text[start - 1]) || is_one_of(text[start - 1], "-_")))
    --start;
  const std::string_view name = text.substr(start, begin - 1 - start);
  return !name.empty() && is_letter(name[0]) && !is_in(kNoProducts, lowered(name)) &&
         (start == 0 || is_one_of(text[start - 1], " \t\n([;,\"'>=|"));
}

// Behind "Mozilla/" on one line, with no quote between.
bool is_in_user_agent(std::string_view text, std::size_t begin) {
  constexpr std::size_t kMost = 500;
  const std::size_t from = begin > kMost ? begin - kMost : 0;
  const std::string_view before = text.substr(from, begin - from);
  const std::size_t agent = before.rfind("Mozilla/");
  return agent != before.npos && before.find_first_of("\"'\n", agent) == before.npos;
}

// "foo==1.2.3.4", "foo>=1.2.3.4", "foo~>1.2.3.4": an operator of package managers. With spaces around "==" it is code.
bool follows_operator(std::string_view text, std::size_t begin) {
  if (begin < 3) return false;
  const std::string_view sign = text.substr(begin - 2, 2);
  return (sign == "==" || sign == ">=" || sign == "<=" || sign == "~=" || sign == "!=" || sign == "~>") &&
         (is_letter(text[begin - 3]) || is_digit(text[begin - 3]) || is_one_of(text[begin - 3], "]_,"));
}

// "4.12.0.7 Heading" at the beginning of a line, perhaps behind the marks of a heading.
bool begins_heading(std::string_view text, std::size_t begin, std::size_t end, int largest) {
  constexpr int kMostSections = 40;
  if (largest > kMostSections) return false;
  while (begin > 0 && is_one_of(text[begin - 1], " \t#*|>")) --begin;
  if (begin > 0 && text[begin - 1] != '\n') return false;
  if (end < text.size() && is_one_of(text[end], ".)")) ++end;
  const std::size_t gap = end;
  while (end < text.size() && is_one_of(text[end], " \t*")) ++end;
  return end > gap && end < text.size() && ((text[end] >= 'A' && text[end] <= 'Z') || (text[end] & 0x80) != 0);
}

// "the 4.12.0.7 release".
bool precedes_its_word(std::string_view text, std::size_t end) {
  if (end == text.size() || text[end] != ' ') return false;
  std::size_t stop = ++end;
  while (stop < text.size() && is_letter(text[stop])) ++stop;
  return is_in(kBehind, lowered(text.substr(end, std::min<std::size_t>(stop - end, 20))));
}

}  // namespace

bool is_dotted_number(std::string_view text, std::size_t begin, std::size_t end, int largest) {
  return follows_product(text, begin) || is_in_user_agent(text, begin) || follows_operator(text, begin) ||
         follows_its_word(text, begin) || begins_heading(text, begin, end, largest) || precedes_its_word(text, end);
}

}  // namespace curate
