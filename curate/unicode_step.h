// Mends the encoding of a text: normal form C, mojibake, control characters, line ends. This step edits the text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "curate/step.h"

namespace curate {

/// Undoes one reading of UTF-8 as Windows-1252 wherever it is certain: "Ã©" -> "é", "â€™" -> "’". Only sequences that
/// decode to a letter, mark or symbol of common text are replaced; "Ã" alone, or "Ã" before a letter, stays. Repeated
/// up to three times for texts that were misread more than once. Returns the number of replacements.
std::size_t repair_mojibake(std::string& text);
/// Removes control characters (Cc but tab and line feed), U+FEFF and non-characters. Returns how many.
std::size_t remove_controls(std::string& text);
/// "\r\n" and "\r" become "\n". Returns how many.
std::size_t unify_line_ends(std::string& text);

/// Each repair can be switched off; what was done is counted in the scores unicode_mojibake, unicode_controls,
/// unicode_line_ends and unicode_nfc (1: the text was not in normal form C). A text with a larger share of U+FFFD than
/// `max_replacement_share` (0: off) is dropped.
class Unicode : public Step {
 public:
  bool nfc = true, mojibake = true, controls = true, line_ends = true;
  double max_replacement_share = 0;

  void visit(base::OptionVisitor& v) override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;
};

}  // namespace curate
