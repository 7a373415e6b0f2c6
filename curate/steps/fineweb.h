// FineWeb's own quality rules (Penedo et al. 2024) as datatrove decides them.
#pragma once

#include <cstdint>

#include "curate/steps/semantics.h"
#include "curate/steps/step.h"

namespace curate {

/// datatrove's FineWebQualityFilter: lines that end without punctuation, short lines, repeated lines, lists. datatrove
/// 0.2, which made the FineWeb of 2024: blank lines are lines to the first two rules, a value equal to a threshold
/// fails but for new_line_ratio, lines end in . ' " ! or ?, and the words are NLTK's.
class FineWeb : public Step {
 public:
  SemanticsOption semantics;
  double line_punct_thr = 0.12;
  bool line_punct_exclude_zero = false;
  double short_line_thr = 0.67;
  std::int64_t short_line_length = 30;
  double char_duplicates_ratio = 0.01;
  double new_line_ratio = 0.3;
  std::vector<std::string> stop_chars;  ///< empty: datatrove's TERMINAL_PUNCTUATION; of datatrove 0.2, see above

  void visit(base::OptionVisitor& v) override;
  void prepare() override { semantics.prepare(); }
  std::vector<std::string> files() const override { return semantics.files(); }
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;

 private:
  bool ends_well(std::string_view line) const;
  bool is_short(Document& document, std::string_view line) const;
  static void find_lines(Document& document);  // those that are not blank, into the scratch parts
};

}  // namespace curate
