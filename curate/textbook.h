// The textbook score: how much a document reads like a textbook, from 0 to 1.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "curate/fasttext.h"
#include "curate/step.h"

namespace curate {

/// A fastText-format classifier's probability of the good label(s), as the score "textbook". `curate train-scorer`
/// trains such a model. Documents below `min_score` are dropped with the reason "textbook".
class Textbook : public Step {
 public:
  std::string model;
  std::vector<std::string> good = {"good"};  ///< LABEL or LABEL=WEIGHT; the score is the weighted sum, at most 1
  double min_score = 0.5;
  std::string input = "scorer";

  void visit(base::OptionVisitor& v) override;
  void prepare() override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;

 private:
  std::unique_ptr<FastText> classifier_;
  std::vector<std::pair<int, double>> weights_;  ///< index of a label, weight
};

}  // namespace curate
