// Training on pairs of answers. Tested by tests/finetune/preferences_test.cc.
#include "finetune/train/preferences.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "finetune/data/packing.h"

namespace finetune {
namespace {

// Targets of each document, [documents] float32.
at::Tensor targets_of(const PackedRow& row, const at::TensorOptions& options) {
  std::vector<at::Tensor> counts;
  for (const at::Tensor& document : row.targets.ge(0).split_with_sizes(row.lengths)) counts.push_back(document.sum());
  return at::stack(counts).to(options);
}

std::optional<References> read_references(const std::filesystem::path& file, const std::string& key,
                                          std::size_t count) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  try {
    const auto json = nlohmann::json::parse(base::read_file(file));
    References found{json.at("key").get<std::string>(), json.at("log_probabilities").get<std::vector<double>>()};
    if (found.key != key || found.values.size() != count) return std::nullopt;
    return found;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

void PreferenceOptions::visit(base::OptionVisitor& v) {
  v.choice("objective", objective, {"answers", "dpo", "ipo", "hinge"},
           "what is learned: the answers, or which of two answers is better (records with chosen and rejected)");
  v("beta", beta, "of dpo, ipo and hinge: how strongly the model is held to what it said before").above(0);
  v("label_smoothing", label_smoothing, "of dpo: the share of pairs that may be the wrong way round")
      .at_least(0)
      .below(0.5);
}

at::Tensor preference_losses(const PreferenceOptions& options, const at::Tensor& ratios, const at::Tensor& targets) {
  const auto difference = [](const at::Tensor& values) {
    const at::Tensor pairs = values.view({-1, 2});
    return pairs.select(1, 0) - pairs.select(1, 1);
  };
  const double beta = options.beta, smoothing = options.label_smoothing;
  if (options.objective == "ipo") return (difference(ratios / targets) - 1 / (2 * beta)).square();
  const at::Tensor logits = beta * difference(ratios);
  if (options.objective == "hinge") return at::relu(1 - logits);
  return -(1 - smoothing) * at::log_sigmoid(logits) - smoothing * at::log_sigmoid(-logits);
}

at::Tensor PreferenceObjective::loss_sum(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                                         at::Tensor* figures) const {
  const at::Tensor now = model.log_probabilities(batch, dropout_seed);
  const at::Tensor before = at::tensor(batch.references, at::kDouble).to(now.options());
  const at::Tensor ratios = now - before;  // chosen, rejected, chosen, rejected ...
  const at::Tensor losses = preference_losses(options_, ratios, targets_of(batch, now.options()));
  if (figures) {
    const at::Tensor rewards = (options_.beta * ratios).detach().view({-1, 2});
    const at::Tensor chosen = rewards.select(1, 0), rejected = rewards.select(1, 1);
    *figures =
        at::stack({chosen.sum(), rejected.sum(), chosen.gt(rejected).sum().to(at::kFloat), (chosen - rejected).sum()})
            .to(at::kDouble);
  }
  return losses.sum();
}

References add_references(const std::filesystem::path& file, const std::string& key, const Transformer& model,
                          const std::vector<Examples*>& parts) {
  std::size_t count = 0;
  for (const auto* examples : parts) count += 2 * examples->size();
  const std::optional<References> known = read_references(file, key, count);
  const at::NoGradGuard no_gradient;
  References result{key, {}};
  for (Examples* examples : parts) {
    for (std::uint32_t i = 0; i < examples->size(); ++i) {
      std::array<double, 2> reference;
      if (known) {
        const double* from = known->values.data() + result.values.size();
        reference = {from[0], from[1]};
      } else {
        const at::Tensor logs = model.log_probabilities(make_row(*examples, {&i, 1}, model.device())).cpu();
        reference = {logs[0].item<double>(), logs[1].item<double>()};
      }
      examples->set_reference(i, reference);
      result.values.insert(result.values.end(), reference.begin(), reference.end());
    }
  }
  return result;
}

void write_references(const std::filesystem::path& file, const References& references) {
  const nlohmann::ordered_json json = {{"key", references.key}, {"log_probabilities", references.values}};
  base::write_file(file, json.dump() + "\n");
}

}  // namespace finetune
