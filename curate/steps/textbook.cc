// The textbook score: how much a document reads like a textbook, from 0 to 1. Tested by
// tests/curate/train/scorer_test.cc.
#include "curate/steps/textbook.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/text.h"
#include "curate/scorer/scorer_text.h"
#include "curate/steps/judge.h"
#include "curate/text/lines.h"
#include "curate/text/models.h"

namespace curate {
namespace {

// The number behind the '=' of `entry`.
double weight_of(const std::string& entry, const std::string& number) {
  char* end = nullptr;
  const double weight = std::strtod(number.c_str(), &end);
  if (number.empty() || *end != '\0' || !std::isfinite(weight))
    throw base::UsageError({"not a weight", "textbook.good", entry, "LABEL=NUMBER, a finite number", ""});
  if (weight < 0 || weight > 1)
    throw base::UsageError({"the weight would take the score out of 0 to 1", "textbook.good", entry, "0 to 1",
                            "divide all weights, and min_score, by the largest: 2, 1, 0 are 1, 0.5, 0"});
  return weight;
}

}  // namespace

void Textbook::visit(base::OptionVisitor& v) {
  v("model", model,
    "a model of train-scorer, or any classifier in fastText's format; empty: the one that comes with curate",
    base::PathKind::kPath);
  v("good", good, "fastText models: labels whose probability is the score, LABEL or LABEL=WEIGHT, weights from 0 to 1");
  v("min_score", min_score, "drop documents that score less");
  v.choice("input", input, {"scorer", "plain"},
           "what a fastText model sees: text prepared as train-scorer does, or all of it as it is (models of others)");
}

void Textbook::prepare() {
  const std::filesystem::path path =
      find_model(model, "textbook.model", "textbook.model", "train one: curate train-scorer LABELLED.jsonl ...");
  file_ = path.string();
  style_.reset();
  classifier_.reset();
  weights_.clear();
  const bool own_kind{TextbookModel::recognises(path)};
  if (own_kind) {
    style_ = std::make_unique<TextbookModel>(path);
  } else {
    classifier_ = std::make_unique<FastText>(path);
  }
  double most = own_kind ? 1 : 0;
  for (const std::string& entry : own_kind ? std::vector<std::string>() : good) {
    const std::size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    const double weight = equals == entry.npos ? 1 : weight_of(entry, entry.substr(equals + 1));
    int label = classifier_->label(name);
    if (label < 0) {
      throw base::UsageError(base::ErrorFacts{"the model has no such label", "textbook.good", name,
                                              base::join(classifier_->labels(), ", "), "name its good labels"});
    }
    weights_.emplace_back(label, weight);
    most += weight;
  }
  if (min_score > std::min(1.0, most))
    throw base::UsageError({"no document can reach this score", "textbook.min_score", fmt::format("{}", min_score),
                            fmt::format("at most {}", std::min(1.0, most)),
                            own_kind ? "lower it" : "lower it, or name more labels in textbook.good"});
}

double Textbook::score(Document& document, std::string_view text) const {
  if (style_) return style_->score(text, document.slot<StyleFeatures>(this));
  std::string& line = document.scratch().bytes;
  if (input == "scorer") {
    scorer_text(text, line);
    text = line;
  }
  std::span<const float> scores = classifier_->predict(text, document.slot<FastText::Scratch>(this));
  double score = 0;
  for (auto [label, weight] : weights_)
    score += weight * std::min(1.0, double{scores[static_cast<std::size_t>(label)]});
  return std::clamp(score, 0.0, 1.0);
}

Verdict Textbook::apply(Document& document, std::vector<Measure>* measures) const {
  const double score = this->score(document, document.text());
  document.set_score("textbook", score);
  Judge judge(measures, document);
  judge.below("textbook", score, min_score);
  return judge.verdict();
}

std::vector<Evidence> Textbook::evidence(Document& document, std::string_view measure) const {
  if (measure.empty()) return {};
  constexpr std::size_t kLeast = 200;  // bytes; less says nothing
  std::vector<std::string_view> paragraphs;
  split_at_newline_runs(document.text(), 2, paragraphs);
  std::vector<std::pair<double, std::string_view>> scored;
  for (std::string_view paragraph : paragraphs)
    if (paragraph.size() >= kLeast) scored.emplace_back(score(document, paragraph), paragraph);
  std::stable_sort(scored.begin(), scored.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Evidence> result;
  for (const auto& [score, paragraph] : scored)
    result.push_back({fmt::format("this paragraph alone scores {:.4g}", score), paragraph});
  return result;
}

}  // namespace curate
