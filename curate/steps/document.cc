// One document on its way through the steps: its text, and views of the text computed at most once per version. Tested
// by tests/curate/steps/document_test.cc.
#include "curate/steps/document.h"

#include <algorithm>
#include <utility>

#include "curate/text/lines.h"

namespace curate {

void Document::reset(std::string_view text, std::string_view id, std::string_view source) {
  text_ = text;
  id_ = id;
  source_ = source;
  version_ = 0;
  cached_ = 0;
  scores_.clear();
  labels_.clear();
  counts_.clear();
}

void Document::replace_text(std::string text) {
  own_text_ = std::move(text);
  text_ = own_text_;
  ++version_;
  cached_ = 0;
}

void Document::replace_text(std::string text, std::size_t word_count) {
  replace_text(std::move(text));
  word_count_ = word_count;
  cached_ = kWordCount;
}

bool Document::ascii() {
  if (!(cached_ & kAscii)) {
    ascii_ = is_ascii(text_);
    cached_ |= kAscii;
  }
  return ascii_;
}

std::uint32_t Document::code_points() {
  if (!(cached_ & kCodePoints)) {
    code_points_ = ascii() ? static_cast<std::uint32_t>(text_.size()) : count_code_points(text_);
    cached_ |= kCodePoints;
  }
  return code_points_;
}

std::uint32_t Document::code_points(std::string_view part) {
  return ascii() ? static_cast<std::uint32_t>(part.size()) : count_code_points(part);
}

const Words& Document::words(Splitter splitter) {
  auto split_once = [&](unsigned bit, auto& words) -> const Words& {
    if (!(cached_ & bit)) words.split(text_);
    cached_ |= bit;
    return words;
  };
  if (splitter == Splitter::kNltk) return split_once(kNltkWords, nltk_words_);
  if (splitter == Splitter::kDictionary) return split_once(kDictionaryWords, dictionary_words_);
  if (splitter == Splitter::kWhitespace) return split_once(kWhitespaceWords, whitespace_words_);
  return split_once(kWords, words_);
}

std::size_t Document::word_count(Splitter splitter) {
  return splitter == Splitter::kSpacy && (cached_ & kWordCount) ? word_count_ : words(splitter).size();
}

const std::vector<std::string_view>& Document::newline_parts() {
  if (!(cached_ & kNewlineParts)) {
    split_at_newlines(text_, newline_parts_);
    cached_ |= kNewlineParts;
  }
  return newline_parts_;
}

const std::vector<std::string_view>& Document::lines() {
  if (!(cached_ & kLines)) {
    split_lines(text_, lines_);
    cached_ |= kLines;
  }
  return lines_;
}

void Document::set_score(std::string_view name, double value) {
  for (auto& [known, old] : scores_) {
    if (known == name) {
      old = value;
      return;
    }
  }
  scores_.emplace_back(name, value);
}

void Document::set_count(std::string_view name, std::size_t count) {
  set_score(name, static_cast<double>(count));
  if (!is_count(name)) counts_.push_back(name);
}

bool Document::is_count(std::string_view score) const {
  return std::find(counts_.begin(), counts_.end(), score) != counts_.end();
}

void Document::set_label(std::string_view name, std::string_view value) {
  for (auto& [known, old] : labels_) {
    if (known == name) {
      old = value;
      return;
    }
  }
  labels_.emplace_back(name, value);
}

}  // namespace curate
