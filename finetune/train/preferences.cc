// Training on preferences. Tested by tests/finetune/preferences_test.cc.
#include "finetune/train/preferences.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "finetune/data/packing.h"

namespace finetune {
namespace {

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

References add_references(const std::filesystem::path& file, const std::string& key, const Transformer& model,
                          const std::vector<Examples*>& parts, const Group& group) {
  std::size_t count = 0;
  for (const auto* examples : parts) count += 2 * examples->size();
  std::optional<References> known = read_references(file, key, count);
  const auto each = [&](const auto& f) {  // f(examples, number in them, number of all)
    std::size_t number = 0;
    for (Examples* examples : parts)
      for (std::uint32_t i = 0; i < examples->size(); ++i) f(*examples, i, number++);
  };
  if (group.any(!known)) {
    const at::NoGradGuard no_gradient;
    known = References{key, std::vector<double>(count)};
    each([&](const Examples& examples, std::uint32_t i, std::size_t number) {
      if (number % static_cast<std::size_t>(group.size()) != static_cast<std::size_t>(group.rank())) return;
      const at::Tensor logs = model.log_probabilities(make_row(examples, {&i, 1}, model.device())).cpu();
      known->values[2 * number] = logs[0].item<double>(), known->values[2 * number + 1] = logs[1].item<double>();
    });
    // Of each there is one that is not zero.
    group.all_reduce(at::from_blob(known->values.data(), {static_cast<std::int64_t>(count)}, at::kDouble));
  }
  each([&](Examples& examples, std::uint32_t i, std::size_t number) {
    examples.set_reference(i, {known->values[2 * number], known->values[2 * number + 1]});
  });
  return *known;
}

void write_references(const std::filesystem::path& file, const References& references) {
  const nlohmann::ordered_json json = {{"key", references.key}, {"log_probabilities", references.values}};
  base::write_file(file, json.dump() + "\n");
}

}  // namespace finetune
