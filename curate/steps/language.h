// The language of a document, by a fastText model such as lid.176.ftz.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "curate/scorer/fasttext.h"
#include "curate/steps/step.h"

namespace curate {

/// datatrove's LanguageFilter: keeps a document when the probability of a language in `keep` is above `min_score`. Sets
/// the label "language" (the most probable one) and the score "language_score".
class Language : public Step {
 public:
  std::vector<std::string> keep = {"en"};  ///< empty: any language
  double min_score = 0.65;
  std::string model;

  void visit(base::OptionVisitor& v) override;
  void prepare() override;
  std::vector<std::string> scores() const override { return {"language_score"}; }
  std::optional<Threshold> threshold_of(std::string_view option) const override {
    if (option != "min_score") return std::nullopt;
    return Threshold{"language", Limit::kMin, true};
  }
  std::vector<std::string> files() const override { return {classifier_->path().string()}; }
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;

 private:
  std::unique_ptr<FastText> classifier_;
  std::vector<int> kept_;  // indices of the model's labels
  FastText::Selection wanted_;
};

}  // namespace curate
