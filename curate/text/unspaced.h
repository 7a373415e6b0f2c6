// Scripts that are written without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese.
#pragma once

#include <memory>
#include <string_view>

#include "curate/text/spacy_words.h"
#include "curate/text/words.h"

namespace curate {

/// Is `c` a letter, a mark or a number of such a script?
bool is_unspaced(char32_t c);
/// Does the text have such a one?
bool has_unspaced(std::string_view text);

/// spaCy's words (base() is theirs) but where a word holds letters of such scripts: that one is cut into the words of
/// ICU's dictionaries. Texts without such letters have the words of SpacyWords. A word found so counts as standing
/// behind a space.
class DictionaryWords : public Words {
 public:
  DictionaryWords();
  ~DictionaryWords();
  void split(std::string_view text);
  bool ends_with_space_token() const { return spacy_.ends_with_space_token(); }

 private:
  class Dictionary;
  void cut(const Word& word);
  SpacyWords spacy_;
  std::unique_ptr<Dictionary> dictionary_;  // loaded with the first text that needs it
};

}  // namespace curate
