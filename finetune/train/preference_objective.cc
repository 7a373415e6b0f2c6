// What training on preferences minimises. Tested by tests/finetune/preferences_test.cc.
#include "finetune/train/preference_objective.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>

namespace finetune {
namespace {

at::Tensor chosen_of(const at::Tensor& in_turn) { return in_turn.view({-1, 2}).select(1, 0); }
at::Tensor rejected_of(const at::Tensor& in_turn) { return in_turn.view({-1, 2}).select(1, 1); }
at::Tensor difference(const at::Tensor& in_turn) { return chosen_of(in_turn) - rejected_of(in_turn); }

at::Tensor smoothed_losses(const at::Tensor& logits, double smoothing) {
  return -(1 - smoothing) * at::log_sigmoid(logits) - smoothing * at::log_sigmoid(-logits);
}

// log(1 - exp x) of x < 0 without the loss of digits.
at::Tensor log_one_minus_exp(const at::Tensor& x) {
  constexpr double kMinusLog2 = -0.6931471805599453;
  return at::where(x < kMinusLog2, at::log1p(-at::exp(x)), at::log(-at::expm1(x)));
}

at::Tensor log_odds(const at::Tensor& means) { return means - log_one_minus_exp(means); }

at::Tensor sums_of_documents(const at::Tensor& values, const PackedRow& row) {
  std::vector<at::Tensor> sums;
  for (const at::Tensor& document : values.split_with_sizes(row.lengths)) sums.push_back(document.sum());
  return at::stack(sums);
}

// Targets of each document, [documents] float32.
at::Tensor targets_of(const PackedRow& row, const at::TensorOptions& options) {
  return sums_of_documents(row.targets.ge(0).to(options), row);
}

at::Tensor references_of(const PackedRow& row, const at::TensorOptions& options) {
  return at::tensor(row.references, at::kDouble).to(options);
}

double pairs_of(const PackedRow& row) { return static_cast<double>(row.lengths.size()) / 2; }

// The routers' own loss counts as the mean over the batches of a step, each by its pairs.
at::Tensor with_routers(const at::Tensor& loss, const at::Tensor& router_loss, double share) {
  return router_loss.defined() ? loss + router_loss * share : loss;
}

at::Tensor figures_of(const std::vector<at::Tensor>& sums, double count) {
  return (at::stack(sums).detach().cpu().to(at::kDouble)) / count;
}

const std::vector<std::string> kRewards = {"rewards/chosen",  "rewards/rejected", "rewards/accuracies",
                                           "rewards/margins", "logps/chosen",     "logps/rejected"};

// Sums over the pairs of each of kRewards.
std::vector<at::Tensor> reward_sums(const at::Tensor& rewards, const at::Tensor& logs) {
  const at::Tensor chosen = chosen_of(rewards), rejected = rejected_of(rewards);
  return {chosen.sum(),
          rejected.sum(),
          chosen.gt(rejected).sum().to(rewards.options()),
          (chosen - rejected).sum(),
          chosen_of(logs).sum(),
          rejected_of(logs).sum()};
}

class PairObjective final : public Objective {
 public:
  explicit PairObjective(PreferenceOptions options) : options_(std::move(options)) {}
  at::Tensor totals(const Transformer& /*model*/, const PackedRow& batch, std::uint64_t /*seed*/) const override {
    return at::full({1}, pairs_of(batch), at::kDouble);
  }
  at::Tensor loss(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                  const at::Tensor& totals, at::Tensor* figures) const override {
    const double pairs = totals[0].item<double>();
    at::Tensor router_loss;
    const at::Tensor now = model.log_probabilities(batch, dropout_seed, &router_loss);
    const at::Tensor targets = targets_of(batch, now.options());
    const bool is_simpo{options_.objective == "simpo"};
    const at::Tensor scores = is_simpo ? now : now - references_of(batch, now.options());
    if (figures) {
      // What TRL calls the rewards and log-probabilities of SimPO are means over tokens.
      const at::Tensor counts = is_simpo ? targets : at::ones_like(targets);
      *figures = figures_of(reward_sums(options_.beta * scores / counts, now / counts), pairs);
    }
    return with_routers(pair_losses(options_, scores, targets).sum() / pairs, router_loss, pairs_of(batch) / pairs);
  }
  std::vector<std::string> figure_names() const override { return kRewards; }

 private:
  PreferenceOptions options_;
};

// The chosen answers are learned whole, with their prompts.
PackedRow with_prompts(const PackedRow& row) {
  PackedRow result = row;
  result.targets = row.targets.clone();
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < row.lengths.size(); begin += row.lengths[i++])
    if (i % 2 == 0) {
      const std::int64_t count{row.lengths[i] - 1};
      result.targets.narrow(0, begin, count).copy_(row.ids.narrow(0, begin + 1, count));
    }
  return result;
}

class OrpoObjective final : public Objective {
 public:
  explicit OrpoObjective(PreferenceOptions options) : options_(std::move(options)) {}
  at::Tensor totals(const Transformer& /*model*/, const PackedRow& batch, std::uint64_t /*seed*/) const override {
    double tokens = 0;
    for (std::size_t i = 0; i < batch.lengths.size(); i += 2) tokens += static_cast<double>(batch.lengths[i] - 1);
    return at::tensor({pairs_of(batch), tokens}, at::kDouble);
  }
  at::Tensor loss(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                  const at::Tensor& totals, at::Tensor* figures) const override {
    const double pairs = totals[0].item<double>(), tokens = totals[1].item<double>();
    at::Tensor router_loss;
    const at::Tensor each = model.token_log_probabilities(with_prompts(batch), dropout_seed, &router_loss);
    const at::Tensor learned = -chosen_of(sums_of_documents(each, batch)).sum() / tokens;
    const at::Tensor answers = sums_of_documents(each * batch.targets.ge(0).to(each.options()), batch);
    const at::Tensor means = answers / targets_of(batch, each.options());
    const at::Tensor losses = odds_ratio_losses(options_.beta, means);
    if (figures) {
      std::vector<at::Tensor> sums = reward_sums(options_.beta * means, means);
      sums.insert(sums.end(), {learned * pairs, -losses.sum() / options_.beta, difference(log_odds(means)).sum()});
      *figures = figures_of(sums, pairs);
    }
    return with_routers(learned + losses.sum() / pairs, router_loss, pairs_of(batch) / pairs);
  }
  std::vector<std::string> figure_names() const override {
    std::vector<std::string> names = kRewards;
    names.insert(names.end(), {"nll_loss", "log_odds_ratio", "log_odds_chosen"});
    return names;
  }

 private:
  PreferenceOptions options_;
};

// Every other document of a row, from `first` on.
PackedRow every_other(const PackedRow& row, std::size_t first) {
  PackedRow result;
  std::vector<at::Tensor> ids, targets;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < row.lengths.size(); begin += row.lengths[i++]) {
    if (i % 2 != first) continue;
    ids.push_back(row.ids.narrow(0, begin, row.lengths[i]));
    targets.push_back(row.targets.narrow(0, begin, row.lengths[i]));
    result.lengths.push_back(row.lengths[i]);
    result.references.push_back(row.references[i]);
    if (!row.places.empty()) result.places.push_back(row.places[i]);
  }
  result.ids = at::cat(ids);
  result.targets = at::cat(targets);
  result.trained = result.targets.ge(0).sum().item<std::int64_t>();
  result.desirable = row.desirable;
  return result;
}

// Documents are answers and, behind each, its prompt with an answer to another one (with_mismatches).
class KtoObjective final : public Objective {
 public:
  explicit KtoObjective(PreferenceOptions options) : options_(std::move(options)) {}
  at::Tensor totals(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed) const override {
    const at::NoGradGuard no_gradient;
    const PackedRow others = every_other(batch, 1);
    const at::Tensor now = model.log_probabilities(others, dropout_seed);
    const double moved = (now - references_of(others, now.options())).sum().item<double>();
    const auto desirable = static_cast<double>(std::ranges::count(batch.desirable, true));
    return at::tensor({pairs_of(batch), desirable, moved}, at::kDouble);
  }
  at::Tensor loss(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                  const at::Tensor& totals, at::Tensor* figures) const override {
    const double answers = totals[0].item<double>(), desirable = totals[1].item<double>();
    const double divergence = totals[2].item<double>() / answers;
    const PackedRow own = every_other(batch, 0);
    at::Tensor router_loss;
    const at::Tensor now = model.log_probabilities(own, dropout_seed, &router_loss);
    const at::Tensor ratios = now - references_of(own, now.options());
    const at::Tensor verdicts =
        at::tensor(std::vector<double>(batch.desirable.begin(), batch.desirable.end())).to(now.options());
    if (figures) {
      const at::Tensor good = verdicts / desirable, bad = (1 - verdicts) / (answers - desirable);
      const at::Tensor chosen = (options_.beta * ratios * good).sum(), rejected = (options_.beta * ratios * bad).sum();
      const at::Tensor moved = at::full_like(chosen, std::max(0.0, divergence) * pairs_of(batch) / answers);
      *figures = figures_of({chosen, rejected, chosen - rejected, (now * good).sum(), (now * bad).sum(), moved}, 1);
    }
    const at::Tensor losses = kto_losses(options_, ratios, verdicts.to(at::kBool), divergence);
    return with_routers(losses.sum() / answers, router_loss, pairs_of(batch) / answers);
  }
  std::vector<std::string> figure_names() const override {
    return {"rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected", "kl"};
  }

 private:
  PreferenceOptions options_;
};

}  // namespace

at::Tensor pair_losses(const PreferenceOptions& options, const at::Tensor& scores, const at::Tensor& targets) {
  const double beta = options.beta;
  if (options.objective == "ipo") return (difference(scores / targets) - 1 / (2 * beta)).square();
  if (options.objective == "simpo")
    return smoothed_losses(beta * difference(scores / targets) - options.simpo_gamma, options.label_smoothing);
  const at::Tensor logits = beta * difference(scores);
  if (options.objective == "hinge") return at::relu(1 - logits);
  return smoothed_losses(logits, options.label_smoothing);
}

at::Tensor odds_ratio_losses(double beta, const at::Tensor& means) {
  return -beta * at::log_sigmoid(difference(log_odds(means)));
}

at::Tensor kto_losses(const PreferenceOptions& options, const at::Tensor& ratios, const at::Tensor& desirable,
                      double divergence) {
  const at::Tensor moved = options.beta * (ratios - std::max(0.0, divergence));
  return at::where(desirable, options.desirable_weight * (1 - at::sigmoid(moved)),
                   options.undesirable_weight * (1 - at::sigmoid(-moved)));
}

std::unique_ptr<const Objective> objective_of(const PreferenceOptions& options) {
  if (!options.is_on()) return std::make_unique<AnswerObjective>();
  if (options.objective == "orpo") return std::make_unique<OrpoObjective>(options);
  if (options.objective == "kto") return std::make_unique<KtoObjective>(options);
  return std::make_unique<PairObjective>(options);
}

}  // namespace finetune
