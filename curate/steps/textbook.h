// The textbook score: how much a document reads like a textbook, from 0 to 1.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "curate/scorer/fasttext.h"
#include "curate/scorer/textbook_model.h"
#include "curate/steps/step.h"

namespace curate {

/// The score "textbook" of a model that `curate train-scorer` trained: of either kind, told apart by how the file
/// begins. A TextbookModel's score is the calibrated probability that a document is good prose rather than junk; a
/// fastText-format classifier's is the probability of the good label(s). Without `model` the one that comes with the
/// program is used. Documents below `min_score` are dropped with the reason "textbook".
class Textbook : public Step {
 public:
  std::string model;
  std::vector<std::string> good = {"good"};  ///< LABEL or LABEL=WEIGHT; the score is the weighted sum, at most 1
  double min_score = 0.5;
  std::string input = "scorer";

  void visit(base::OptionVisitor& v) override;
  void prepare() override;
  std::vector<std::string> scores() const override { return {"textbook"}; }
  std::optional<Threshold> threshold_of(std::string_view option) const override {
    if (option != "min_score") return std::nullopt;
    return Threshold{"textbook", Limit::kMin, false};
  }
  std::vector<std::string> files() const override { return {file_}; }
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;

 private:
  double score(Document& document, std::string_view text) const;

  std::string file_;                             // the model's
  std::unique_ptr<TextbookModel> style_;         // this one,
  std::unique_ptr<FastText> classifier_;         // or this one
  std::vector<std::pair<int, double>> weights_;  // index of a label, weight
};

}  // namespace curate
