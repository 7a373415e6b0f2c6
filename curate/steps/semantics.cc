// Whose decisions a rule step makes, where programs that implement the same rules differ. Tested by
// tests/curate/presets_test.cc.
#include "curate/steps/semantics.h"

#include "curate/text/punkt.h"
#include "curate/text/unspaced.h"

namespace curate {

void SemanticsOption::prepare() {
  value_ = name == "datatrove-0.2"         ? Semantics::kDatatrove2
           : name == "gopher-paper"        ? Semantics::kGopherPaper
           : name == "icu"                 ? Semantics::kIcu
           : name == "tensorflow-datasets" ? Semantics::kTensorflow
                                           : Semantics::kDatatrove10;
  if (splitter() == Splitter::kNltk) Punkt::english();
  if (splitter() == Splitter::kDictionary)
    DictionaryWords().split("学习");  // finds out whether ICU has its dictionaries
}

Splitter SemanticsOption::splitter() const {
  switch (value_) {
    case Semantics::kDatatrove2:
    case Semantics::kTensorflow:
      return Splitter::kNltk;
    case Semantics::kGopherPaper:
      return Splitter::kWhitespace;
    case Semantics::kIcu:
      return Splitter::kDictionary;
    case Semantics::kDatatrove10:
      break;
  }
  return Splitter::kSpacy;
}

std::vector<std::string> SemanticsOption::files() const {
  if (splitter() != Splitter::kNltk) return {};
  return {Punkt::english().file().string()};
}

}  // namespace curate
