// NLTK's sentence splitter for English: Punkt (Kiss and Strunk 2006) with the parameters NLTK ships.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace curate {

/// Decides for every . ? ! whether a sentence ends there, as NLTK 3.8.1's PunktSentenceTokenizer does. Immutable.
class Punkt {
 public:
  /// Reads the parameters. A line is KIND TAB VALUE: "abbreviation" (a type without its final period), "collocation"
  /// (two types, TAB between them), "starter" (a type that often begins a sentence), "context" (a type, TAB, its
  /// orthographic contexts as a sum of Context). Throws base::Error with file:line.
  explicit Punkt(const std::filesystem::path& file);
  /// Those of punkt-english.tsv on the search path (curate/text/models.h), read at the first call. Throws base::Error
  /// that says which command fetches them.
  static const Punkt& english();
  const std::filesystem::path& file() const { return file_; }

  /// sent_tokenize(text): the sentences, which point into `text` (valid UTF-8).
  void split(std::string_view text, std::vector<std::string_view>& sentences) const;

  /// Where a type was met in the training text; a set of bits.
  enum Context : int {
    kBeginUpper = 2,
    kMiddleUpper = 4,
    kUnknownUpper = 8,
    kBeginLower = 16,
    kMiddleLower = 32,
    kUnknownLower = 64,
    kUpper = kBeginUpper | kMiddleUpper | kUnknownUpper,
    kLower = kBeginLower | kMiddleLower | kUnknownLower
  };

 private:
  struct Token;
  // What `_ortho_heuristic` answers: does this token begin a sentence?
  enum class Answer { kYes, kNo, kUnknown };

  bool has_break(std::string_view context, std::vector<Token>& tokens) const;
  void judge_alone(Token& token) const;
  void judge_pair(Token& token, const Token& next) const;
  Answer begins_sentence(const Token& token) const;
  bool is_abbreviation(std::string_view type) const { return abbreviations_.contains(type); }
  int context(std::string_view type) const;

  std::filesystem::path file_;
  std::string bytes_;  // of the file: the sets point into it
  std::unordered_set<std::string_view> abbreviations_, collocations_, starters_;
  std::unordered_map<std::string_view, int> contexts_;
};

}  // namespace curate
