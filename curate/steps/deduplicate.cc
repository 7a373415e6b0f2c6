// The step `deduplicate`. Tested by tests/curate/dedup/deduplicate_test.cc.
#include "curate/steps/deduplicate.h"

#include "base/error.h"

namespace curate {

void Deduplicate::visit(base::OptionVisitor& v) {
  v("threshold", threshold, "Jaccard similarity of the shingle sets from which two documents are duplicates")
      .above(0)
      .at_most(1);
  v.choice("keep", keep, {"first", "longest", "best_score", "newest", "source_order"},
           "which copy is kept; docs/curate.md says what each compares");
  v.choice(
      "shingle", shingle, {"character", "word", "datatrove"},
      "word: words are runs of \\w of the lower-cased text; character: the same, but in scripts without spaces (Han, "
      "kana, Thai, Lao, Khmer, Burmese) every character counts as a word; datatrove: English words of its "
      "simplify_text");
  v("words", words, "words (or characters) in a shingle").between(1, 100);
  v("near", near, "also near-duplicates, not only equal texts");
  v("score", score,
    "the score that keep: best_score compares, of a step before this one or of the records (hornbook.NAME)");
  v("sources", sources, "keep: source_order prefers these sources, the first most");
  v("max_candidates", max_candidates,
    "compare a document with so many kept ones at most, the likeliest (0: all; pairs: always all)")
      .at_least(0);
  v("pairs", pairs, "write every verified pair of distinct texts to this .jsonl file", base::PathKind::kOutputRecords);
}

void Deduplicate::prepare() {
  if (keep == "source_order" && sources.empty())
    throw base::UsageError({"keep: source_order needs the sources in their order", "deduplicate.sources", "",
                            "a list such as [books, web]", "or another keep"});
}

Verdict Deduplicate::apply(Document&, std::vector<Measure>*) const { return {}; }

}  // namespace curate
