// Training on pairs of answers: what it minimises, and what the model says of the answers before it begins.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/options.h"
#include "finetune/data/examples.h"
#include "finetune/train/objective.h"

namespace finetune {

/// Names and defaults are TRL's.
struct PreferenceOptions {
  std::string objective = "answers";
  double beta = 0.1, label_smoothing = 0;
  bool is_on() const { return objective != "answers"; }
  void visit(base::OptionVisitor& v);
};

/// With d = (log p - log p_ref of the chosen answer) - (the same of the rejected one), summed over the trained tokens:
///   dpo    -(1 - s) log sigmoid(beta d) - s log sigmoid(-beta d), s the label smoothing
///   hinge  max(0, 1 - beta d)
///   ipo    (d' - 1 / (2 beta))^2, with the mean over the tokens of an answer in d' instead of the sum
/// The loss of a step is the mean over its pairs.
/// `ratios` are log p - log p_ref of each answer, chosen and rejected in turn, `targets` its tokens; [pairs] comes out.
at::Tensor preference_losses(const PreferenceOptions& options, const at::Tensor& ratios, const at::Tensor& targets);

class PreferenceObjective final : public Objective {
 public:
  explicit PreferenceObjective(PreferenceOptions options) : options_(std::move(options)) {}
  at::Tensor loss_sum(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                      at::Tensor* figures = nullptr) const override;
  double normaliser(const PackedRow& batch) const override { return static_cast<double>(batch.lengths.size()) / 2; }
  std::vector<std::string> figure_names() const override {
    return {"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"};
  }

 private:
  PreferenceOptions options_;
};

/// In the output folder.
inline constexpr const char* kReferencesFile = "references.json";

/// The log-probabilities of answers in the model without an adapter.
struct References {
  std::string key;  ///< of the model and the data that they belong to
  std::vector<double> values;
};

/// Fills ExampleView::reference of `parts` of the data: from `file` where it holds what belongs to `key`, else by
/// `model`, which must have no adapter. A file of another key, or that cannot be read, counts for nothing. Returns all
/// of them.
References add_references(const std::filesystem::path& file, const std::string& key, const Transformer& model,
                          const std::vector<Examples*>& parts);

void write_references(const std::filesystem::path& file, const References& references);

}  // namespace finetune
