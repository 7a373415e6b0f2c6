// Training on preferences: its options, and what the model says of the answers before it begins.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/options.h"
#include "finetune/data/example_maker.h"
#include "finetune/data/examples.h"
#include "finetune/model/model.h"
#include "finetune/train/group.h"

namespace finetune {

/// Names and defaults are TRL's.
struct PreferenceOptions {
  std::string objective = "answers", reference = "start";
  double beta = 0.1, label_smoothing = 0, simpo_gamma = 0.5, desirable_weight = 1, undesirable_weight = 1;
  bool is_on() const { return objective != "answers"; }
  bool is_of_verdicts() const { return objective == "kto"; }
  bool has_reference() const { return is_on() && objective != "simpo" && objective != "orpo"; }
  bool is_held_to_base() const { return has_reference() && reference == "base"; }
  Wanted wanted() const { return is_of_verdicts() ? Wanted::kVerdicts : is_on() ? Wanted::kPairs : Wanted::kAnswers; }
  void visit(base::OptionVisitor& v);
};

/// In the output folder.
inline constexpr const char* kReferencesFile = "references.json";

/// The log-probabilities of answers in the model that the training starts from, or in the base.
struct References {
  std::string key;  ///< of the model and the data that they belong to
  std::vector<double> values;
};

/// Fills ExampleView::reference of `parts` of the data: from `file` where it holds what belongs to `key`, else by
/// `model`, each process of `group` its share of them. A file of another key, or that cannot be read, counts for
/// nothing, and so it does in all where one process has none. Returns all of them.
References add_references(const std::filesystem::path& file, const std::string& key, const Transformer& model,
                          const std::vector<Examples*>& parts, const Group& group = OneProcess());

void write_references(const std::filesystem::path& file, const References& references);

}  // namespace finetune
