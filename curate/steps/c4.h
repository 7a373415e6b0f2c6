// C4's line rules (Raffel et al. 2020) as datatrove or tensorflow_datasets decides them. This step edits the text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "curate/steps/bad_words.h"
#include "curate/steps/semantics.h"
#include "curate/steps/step.h"

namespace curate {

/// datatrove's C4QualityFilter: drops lines, and documents with too few sentences, a curly bracket or lorem ipsum. The
/// sentences are spaCy's, of datatrove 0.2 NLTK's. tensorflow_datasets' clean_page differs from that of 0.2: a ' ends
/// no line, words are counted when the citations are gone, and its reasons have names of its own.
class C4 : public Step {
 public:
  SemanticsOption semantics;
  bool remove_citations = true, filter_no_terminal_punct = true;
  std::int64_t min_num_sentences = 5, min_words_per_line = 3, max_word_length = 1000;
  std::int64_t max_document_length = 0;
  std::string bad_words;  ///< a file; empty: off
  bool filter_lorem_ipsum = true, filter_javascript = true, filter_curly_bracket = true, filter_policy = true;

  void visit(base::OptionVisitor& v) override;
  void prepare() override;
  std::vector<std::string> files() const override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override {
    return apply(document, measures, nullptr);
  }
  /// For "": the lines that are dropped, and why.
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;

 private:
  // `evidence` receives the lines that are dropped and why, and, under the reason's name, the line that drops the
  // page.
  Verdict apply(Document& document, std::vector<Measure>* measures, std::vector<Evidence>* evidence) const;

  std::shared_ptr<const BadWords> bad_words_;
};

/// The phrases C4 looks for in lower-cased text.
enum class Phrase : std::uint8_t { kLoremIpsum, kJavascript, kPolicy };
/// Where they stand in `text` (any case), in order; at most one for each place.
void find_phrases(std::string_view text, std::vector<std::pair<std::uint32_t, Phrase>>& found);
/// Without "[12]", "[]", "[edit]" and "[citation needed]".
std::string without_citations(std::string_view line);

}  // namespace curate
