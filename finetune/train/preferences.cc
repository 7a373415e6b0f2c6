// Options of a training on preferences. Tested by tests/finetune/preferences_test.cc.
#include "finetune/train/preferences.h"

namespace finetune {
void PreferenceOptions::visit(base::OptionVisitor& v) {
  v.choice("objective", objective, {"answers", "dpo", "ipo", "hinge", "simpo", "orpo", "kto"},
           "what is learned: the answers; which of two is better (records with chosen and rejected); or for kto which "
           "are good (records with an answer and label: true or false)");
  v("beta", beta,
    "how strongly the model is held to what it said before; of simpo the weight of the difference (2 to 2.5 is usual), "
    "of orpo that of the odds ratio")
      .above(0);
  v.choice("reference", reference, {"start", "base"},
           "of dpo, ipo, hinge and kto, with --adapter: what the model is held to: what it is as the run begins, with "
           "that adapter, or the base without it");
  v("label_smoothing", label_smoothing, "of dpo and simpo: the share of pairs that may be the wrong way round")
      .at_least(0)
      .below(0.5);
  v("simpo_gamma", simpo_gamma, "of simpo: by how much the chosen answer has to be better").at_least(0);
  v("desirable_weight", desirable_weight, "of kto: what a good answer weighs").above(0);
  v("undesirable_weight", undesirable_weight, "of kto: what a bad answer weighs").above(0);
}

}  // namespace finetune
