// A text split into words as datatrove before 0.4 does: NLTK's word_tokenize for English.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "curate/text/punkt.h"
#include "curate/text/words.h"

namespace curate {

/// Words of NLTK 3.8.1's word_tokenize: sentences by Punkt, then the substitutions of NLTKWordTokenizer. A quote may
/// come out as `` or '', so the words do not point into the split text: `base()` is a buffer of this object's.
/// They carry the flags kHasAlpha and kHasNonSymbol only; symbols are datatrove 0.2's.
class NltkWords : public Words {
 public:
  /// Splits `text` (valid UTF-8, below 4 GB). Needs Punkt::english().
  void split(std::string_view text);

 private:
  void add_sentence(std::string_view sentence);
  void add_words(std::size_t begin);

  std::vector<std::string_view> sentences_;
  std::string from_, to_;  // before and after a substitution
  std::string result_;     // all sentences after all substitutions
};

}  // namespace curate
