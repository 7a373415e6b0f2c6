// The rules of Gopher (Rae et al. 2021, appendix A.1) as datatrove decides them: same reasons, order and arithmetic; or
// as the paper words them, under the same names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "curate/steps/semantics.h"
#include "curate/steps/step.h"

namespace curate {

class Judge;

/// datatrove's GopherRepetitionFilter: repeated lines, paragraphs and word n-grams. Every threshold is the largest
/// share that is kept; 0 switches it off. datatrove 0.2: words of NLTK, lines as str.splitlines() has them. The paper:
/// shares of the words' characters that lie in repeated n-grams, every character once.
class GopherRepetition : public Step {
 public:
  SemanticsOption semantics;
  double dup_line_frac = 0.3, dup_para_frac = 0.3, dup_line_char_frac = 0.2, dup_para_char_frac = 0.2;
  double top_n_gram[3] = {0.2, 0.18, 0.16};                            ///< n = 2, 3, 4
  double duplicated_n_grams[6] = {0.15, 0.14, 0.13, 0.12, 0.11, 0.1};  ///< n = 5 .. 10

  void visit(base::OptionVisitor& v) override;
  void prepare() override { semantics.prepare(); }
  std::vector<std::string> files() const override { return semantics.files(); }
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;

  static constexpr std::string_view kTopNames[] = {"top_2_gram", "top_3_gram", "top_4_gram"};
  static constexpr std::string_view kDuplicatedNames[] = {"duplicated_5_n_grams", "duplicated_6_n_grams",
                                                          "duplicated_7_n_grams", "duplicated_8_n_grams",
                                                          "duplicated_9_n_grams", "duplicated_10_n_grams"};

 private:
  // Paragraphs or lines into the scratch parts.
  void split_parts(Document& document, bool paragraphs) const;
  void check_n_grams(Document& document, double length, Judge& judge) const;
};

/// datatrove's GopherQualityFilter. 0 switches a threshold off. datatrove 0.2: words of NLTK, every occurrence of a
/// stop word counts. The paper: words between white space, those without a letter or digit count as well.
class GopherQuality : public Step {
 public:
  SemanticsOption semantics;
  std::int64_t min_doc_words = 50, max_doc_words = 100000;
  double min_avg_word_length = 3, max_avg_word_length = 10;
  double max_symbol_word_ratio = 0.1, max_bullet_lines_ratio = 0.9, max_ellipsis_lines_ratio = 0.3;
  double max_non_alpha_words_ratio = 0.8;
  std::int64_t min_stop_words = 2;
  std::vector<std::string> stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"};

  void visit(base::OptionVisitor& v) override;
  void prepare() override;
  std::vector<std::string> files() const override { return semantics.files(); }
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;

  static bool is_bullet(std::string_view line);
  static bool ends_in_ellipsis(std::string_view line);

 private:
  std::int64_t count_stop_words(Document& document, std::int64_t enough) const;
  std::vector<std::uint64_t> stop_hashes_;
  std::uint64_t stop_filter_ = 0;  // a bit for the top six bits of each hash
};

}  // namespace curate
