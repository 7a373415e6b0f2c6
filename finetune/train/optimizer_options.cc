// Which optimizer a training takes, and what it can be told. Tested by tests/finetune/optimizers_test.cc.
#include "finetune/train/optimizer_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "finetune/train/eight_bit_states.h"
#include "finetune/train/muon.h"

namespace finetune {
namespace {

const std::vector<std::string> kWithMoments = {"adamw", "adamw-8bit", "muon"};
const std::vector<std::string> kWithBetas = {"adamw", "adamw-8bit", "lion", "muon"};
const std::vector<std::string> kWithMomentum = {"sgd", "muon"};

// Throws where `value` was given and the optimizer is not one of `readers`. Returns whether it was given.
bool is_given(const UpdateOptions& options, const char* option, const std::string& value,
              const std::vector<std::string>& readers) {
  if (value == "auto") return false;
  if (std::ranges::find(readers, options.optimizer) == readers.end())
    throw base::UsageError({"the optimizer does not have that", std::string("--") + option, value,
                            "--optimizer " + base::join(readers, ", "), "leave the option out"});
  return true;
}

double number_of(const char* option, const std::string& text, const base::Range& range) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number) || !range.holds(number))
    throw base::UsageError({"not a number that it takes", std::string("--") + option, text, range.text(), ""});
  return number;
}

}  // namespace

void UpdateOptions::visit(base::OptionVisitor& v) {
  v.choice("optimizer", optimizer, {"adamw", "adamw-8bit", "sgd", "lion", "muon"},
           "what turns gradients into updates; adamw-8bit keeps its moments in a byte each, muon is for matrices: "
           "vectors, embeddings and heads take adamw");
  v("weight_decay", weight_decay, "decoupled weight decay (sgd: part of the gradient)").at_least(0);
  v("beta1", beta1, "share of the first moment that stays; auto: 0.9");
  v("beta2", beta2, "share of the second moment that stays; auto: 0.999, lion 0.99");
  v("epsilon", epsilon, "adamw: what is added to the root of the second moment; auto: 1e-8");
  v("momentum", momentum, "sgd and muon: share of the momentum that stays; auto: 0 and 0.95");
  v.choice("nesterov", nesterov, {"auto", "true", "false"}, "sgd and muon: look ahead; auto: false and true");
  v.choice("adjust_lr_fn", adjust_lr_fn, {"auto", "match_rms_adamw", "original"},
           "muon: how the rate grows with a matrix, by torch's names; auto: match_rms_adamw, which suits adamw's rate");
}

OptimizerSettings settings_of(const UpdateOptions& options) {
  const bool is_muon{options.optimizer == "muon"};
  OptimizerSettings settings;
  settings.weight_decay = options.weight_decay;
  settings.beta2 = options.optimizer == "lion" ? 0.99 : 0.999;
  settings.momentum = is_muon ? 0.95 : 0;
  settings.nesterov = is_muon;
  base::Range share;
  share.low = 0, share.high = 1, share.below_high = true;
  base::Range positive;
  positive.low = 0, positive.above_low = true;
  const auto take = [&](const char* option, const std::string& text, const std::vector<std::string>& readers,
                        const base::Range& range, double& field) {
    if (is_given(options, option, text, readers)) field = number_of(option, text, range);
  };
  take("beta1", options.beta1, kWithBetas, share, settings.beta1);
  take("beta2", options.beta2, kWithBetas, share, settings.beta2);
  take("epsilon", options.epsilon, kWithMoments, positive, settings.epsilon);
  take("momentum", options.momentum, kWithMomentum, share, settings.momentum);
  if (is_given(options, "nesterov", options.nesterov, kWithMomentum)) settings.nesterov = options.nesterov == "true";
  is_given(options, "adjust-lr-fn", options.adjust_lr_fn, {"muon"});
  settings.matches_rms_adamw = options.adjust_lr_fn != "original";
  if (settings.nesterov && settings.momentum == 0)
    throw base::UsageError({"nothing to look ahead with", "--nesterov", "true", "a --momentum above 0", ""});
  return settings;
}

std::unique_ptr<Optimizer> make_optimizer(const std::string& name, std::vector<at::Tensor> parameters,
                                          OptimizerSettings settings) {
  if (name == "adamw") return std::make_unique<AdamW>(std::move(parameters), std::move(settings));
  if (name == "adamw-8bit") return std::make_unique<AdamWEightBits>(std::move(parameters), std::move(settings));
  if (name == "sgd") return std::make_unique<Sgd>(std::move(parameters), std::move(settings));
  if (name == "lion") return std::make_unique<Lion>(std::move(parameters), std::move(settings));
  return std::make_unique<Muon>(std::move(parameters), std::move(settings));
}

}  // namespace finetune
