// The words of a text, whichever splitter found them: spacy_words.h, nltk_words.h, or white space. Tested by
// tests/curate/text/words_test.cc.
#include "curate/text/words.h"

#include "base/unicode.h"
#include "curate/text/english.h"
#include "curate/text/lines.h"

namespace curate {

void WhitespaceWords::split(std::string_view text) {
  base_ = text;
  words_.clear();
  const English& english = English::get();
  for (std::size_t position = 0; position < text.size();) {
    if (std::size_t space = space_length(text, position); space > 0) {
      position += space;
      continue;
    }
    Word word;
    word.offset = static_cast<std::uint32_t>(position);
    while (position < text.size() && space_length(text, position) == 0) {
      const std::uint32_t classes = english.classes(base::next_code_point(text, position));
      if (classes & character::kAlpha) word.flags |= Word::kHasAlpha;
      if (!(classes & character::kSymbol)) word.flags |= Word::kHasNonSymbol;
      ++word.code_points;
    }
    word.bytes = static_cast<std::uint32_t>(position) - word.offset;
    word.hash = hash_word(text.data() + word.offset, word.bytes, text.data() + text.size());
    words_.push_back(word);
  }
}

}  // namespace curate
