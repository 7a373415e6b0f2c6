// One document on its way through the steps: its text, and views of the text computed at most once per version.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>
#include <vector>

#include "curate/text/counter.h"
#include "curate/text/nltk_words.h"
#include "curate/text/sieve.h"
#include "curate/text/spacy_words.h"
#include "curate/text/unspaced.h"

namespace curate {

struct Measure;

/// Reused for one document after another by one thread, so that its buffers are allocated once.
/// All lengths are Unicode code points, as in datatrove, unless a name says bytes.
class Document {
 public:
  Document() = default;
  Document(const Document&) = delete;  // the views point into its own buffers
  Document& operator=(const Document&) = delete;
  /// Starts a new document. The views must outlive it. `text` is valid UTF-8.
  void reset(std::string_view text, std::string_view id, std::string_view source);
  std::string_view id() const { return id_; }
  std::string_view source() const { return source_; }
  std::string_view text() const { return text_; }
  bool edited() const { return version_ > 0; }
  /// A step that edits: starts a new version; everything cached is dropped. `word_count` is words().size() of the new
  /// text (spaCy's words) where the step knows it.
  void replace_text(std::string text);
  void replace_text(std::string text, std::size_t word_count);
  /// A score under the record's `hornbook` key ("textbook", "language_score").
  void set_score(std::string_view name, double value);
  /// A score that is a number of things ("pii_email"). `name` lives as long as the document.
  void set_count(std::string_view name, std::size_t count);
  void set_label(std::string_view name, std::string_view value);
  const std::vector<std::pair<std::string, double>>& scores() const { return scores_; }
  const std::vector<std::pair<std::string, std::string>>& labels() const { return labels_; }
  bool is_count(std::string_view score) const;

  /// Where the rules note the measures that the document passed; null (the default): nowhere. Stays over a reset.
  std::vector<Measure>* passed_measures() const { return passed_measures_; }
  void note_passed_measures(std::vector<Measure>* passed) { passed_measures_ = passed; }

  // Views of the text, each computed on first use. They are valid until the next reset or replace_text.

  bool ascii();
  std::uint32_t code_points();
  /// Code points of a part of the text.
  std::uint32_t code_points(std::string_view part);
  /// Splitter::kNltk needs Punkt::english(): a step that asks for it loads it in `prepare`.
  const Words& words(Splitter splitter = Splitter::kSpacy);
  std::size_t word_count(Splitter splitter = Splitter::kSpacy);
  /// str.split("\n") and str.splitlines() of the text.
  const std::vector<std::string_view>& newline_parts();
  const std::vector<std::string_view>& lines();

  /// Buffers that steps may use while they run; what they hold has no meaning between steps.
  struct Scratch {
    Counter counter;
    Sieve sieve;
    /// An n-gram of words, by its first word; its bytes up to `hashed` are in `hash`.
    struct Span {
      WordHash hash;
      std::uint32_t first = 0, hashed = 0;
    };
    std::vector<Span> spans;
    std::vector<std::uint64_t> hashes;
    std::vector<std::string_view> parts;
    std::vector<std::uint32_t> numbers, positions, sums;
    std::string bytes;
    SpacyWords words;
    DictionaryWords dictionary_words;
  };
  Scratch& scratch() { return scratch_; }
  /// A thread's own memory for one step: made when `owner` (the step) first asks for a T, then the same one for every
  /// document.
  template <class T>
  T& slot(const void* owner) {
    const std::type_index type(typeid(T));
    for (const Slot& known : slots_)
      if (known.owner == owner && known.type == type) return *static_cast<T*>(known.memory.get());
    slots_.push_back({owner, type, std::make_shared<T>()});
    return *static_cast<T*>(slots_.back().memory.get());
  }

 private:
  std::string_view text_, id_, source_;
  std::vector<Measure>* passed_measures_ = nullptr;
  std::string own_text_;
  int version_ = 0;
  enum Cached : unsigned {
    kAscii = 1,
    kCodePoints = 2,
    kWords = 4,
    kWordCount = 8,
    kNewlineParts = 16,
    kLines = 32,
    kNltkWords = 64,
    kWhitespaceWords = 128,
    kDictionaryWords = 256
  };
  unsigned cached_ = 0;  // which of the following are of this text
  bool ascii_ = false;
  std::uint32_t code_points_ = 0;
  std::size_t word_count_ = 0;
  SpacyWords words_;
  NltkWords nltk_words_;
  WhitespaceWords whitespace_words_;
  DictionaryWords dictionary_words_;
  std::vector<std::string_view> newline_parts_, lines_;
  Scratch scratch_;
  struct Slot {
    const void* owner;
    std::type_index type;
    std::shared_ptr<void> memory;  // shared, because that knows how to free what it holds
  };
  std::vector<Slot> slots_;
  std::vector<std::pair<std::string, double>> scores_;
  std::vector<std::pair<std::string, std::string>> labels_;
  std::vector<std::string_view> counts_;  // the scores that are counts
};

}  // namespace curate
