// Mends the encoding of a text: normal form C, mojibake, control characters, line ends. This step edits the text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "curate/steps/step.h"

namespace curate {

/// The character at `c1` (U+0080 to U+009F) in Windows-1252, 0 where it has none: what a C1 control was meant to be in
/// a text that was read as Latin-1.
char32_t windows_1252(char32_t c1);
/// Undoes one reading of UTF-8 as Windows-1252 wherever it is certain: "Ã©" -> "é", "â€™" -> "’", "Ã  la" -> "à la".
/// Only sequences that decode to a letter, mark or symbol of common text are replaced; "Ã" alone, "Ã" before a letter,
/// and an accented letter with the marks that end a word ("café »", "MANHÃ”"), stay. Repeated up to three times for
/// texts that were misread more than once. Returns the number of replacements.
std::size_t repair_mojibake(std::string& text);

struct ControlCounts {
  std::size_t removed = 0, windows_1252 = 0, separators = 0;
};
/// Takes control characters (Cc but tab and line feed), U+FEFF and non-characters out, without joining words:
///   C1 controls  become what Windows-1252 has there; U+0085 a line end, unless another of them shows what it is
///   \f \v U+001C to U+001E  become a line end where none stands beside them, U+001F a space
///   U+2028 U+2029  become a line end
///   U+FEFF  becomes a line end between a sentence's end and what follows without a space
/// All others, with what makes a terminal's control sequence of them, are removed.
ControlCounts mend_controls(std::string& text);
/// "\r\n" and "\r" become "\n". Returns how many.
std::size_t unify_line_ends(std::string& text);

/// Each repair can be switched off; what was done is counted: unicode_mojibake, unicode_controls (removed),
/// unicode_windows_1252 and unicode_separators (replaced), unicode_line_ends, unicode_nfc (1: the text was not in
/// normal form C). A text with a larger share of U+FFFD than `max_replacement_share` (0: off) is dropped.
class Unicode : public Step {
 public:
  bool nfc = true, mojibake = true, controls = true, line_ends = true;
  double max_replacement_share = 0;

  void visit(base::OptionVisitor& v) override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;
};

}  // namespace curate
