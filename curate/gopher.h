// The rules of Gopher (Rae et al. 2021, table A1) as datatrove 0.10 decides them: same reasons, order and arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "curate/step.h"

namespace curate {

/// datatrove's GopherRepetitionFilter: repeated lines, paragraphs and word n-grams. Every threshold is the largest
/// share that is kept; 0 switches it off.
class GopherRepetition : public Step {
 public:
  double dup_line_frac = 0.3, dup_para_frac = 0.3, dup_line_char_frac = 0.2, dup_para_char_frac = 0.2;
  double top_n_gram[3] = {0.2, 0.18, 0.16};                            ///< n = 2, 3, 4
  double duplicated_n_grams[6] = {0.15, 0.14, 0.13, 0.12, 0.11, 0.1};  ///< n = 5 .. 10

  void visit(base::OptionVisitor& v) override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
};

/// datatrove's GopherQualityFilter. 0 switches a threshold off.
class GopherQuality : public Step {
 public:
  std::int64_t min_doc_words = 50, max_doc_words = 100000;
  double min_avg_word_length = 3, max_avg_word_length = 10;
  double max_symbol_word_ratio = 0.1, max_bullet_lines_ratio = 0.9, max_ellipsis_lines_ratio = 0.3;
  double max_non_alpha_words_ratio = 0.8;
  std::int64_t min_stop_words = 2;
  std::vector<std::string> stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"};

  void visit(base::OptionVisitor& v) override;
  void prepare() override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;

 private:
  std::int64_t count_stop_words(Document& document, std::int64_t enough) const;
  std::vector<std::uint64_t> stop_hashes_;
  std::uint64_t stop_filter_ = 0;  ///< a bit for the top six bits of each hash
};

}  // namespace curate
