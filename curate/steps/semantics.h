// Whose decisions a rule step makes, where programs that implement the same rules differ.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "curate/text/words.h"

namespace curate {

enum class Semantics {
  kDatatrove10,  ///< datatrove 0.10: words and sentences of spaCy's English
  kDatatrove2,   ///< datatrove 0.2, which FineWeb was made with: words and sentences of NLTK
  kGopherPaper,  ///< Rae et al. 2021, appendix A.1, where no code was published: words between white space
  kIcu,          ///< kDatatrove10, but in scripts without spaces between words, words are those of ICU's dictionaries
  kTensorflow,   ///< tensorflow_datasets' c4_utils, which C4 was made with: sentences of NLTK
};

/// The option `semantics` of a step, and what it stands for once `prepare` has run.
class SemanticsOption {
 public:
  void visit(base::OptionVisitor& v, std::vector<std::string> choices) {
    v.choice("semantics", name, std::move(choices), "whose decisions these are, where implementations differ");
  }
  /// Loads what the splitter needs. Throws base::Error when it is missing.
  void prepare();
  bool operator==(Semantics other) const { return value_ == other; }
  Splitter splitter() const;
  /// What `prepare` has read.
  std::vector<std::string> files() const;

  std::string name = "datatrove-0.10";

 private:
  Semantics value_ = Semantics::kDatatrove10;
};

}  // namespace curate
