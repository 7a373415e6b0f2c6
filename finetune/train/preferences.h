// Options of a training on preferences.
#pragma once

#include <string>

#include "base/options.h"
#include "finetune/data/example_maker.h"

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

}  // namespace finetune
