// What makes a run the same run. Tested by tests/finetune/train_start_test.cc and group_test.cc.
#include "finetune/train/run_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/json_values.h"
#include "base/text.h"
#include "finetune/data/mixture.h"
#include "lora/adapter/fresh.h"
#include "lora/model/identity.h"
#include "lora/model/module_names.h"

namespace finetune {
namespace {

template <class T>
std::string text(const T& value) {
  return fmt::format("{}", value);
}

void add_reading(RunFacts& facts, const TrainOptions& options) {
  const ReadingOptions& reading = options.reading;
  const PlanOptions& plan = options.plan;
  facts.insert({{"limit", text(reading.limit)},
                {"validation_limit", text(reading.validation_limit)},
                {"too_long", plan.rows.too_long},
                {"data_weights", weights_text(options.sources.data_weights)},
                {"validation_share", text(options.sources.validation_share)},
                {"allow_special", text(reading.maker.allow_special)},
                {"roles", base::join(reading.maker.roles, ",")},
                {"train_on", reading.maker.train_on.train_on},
                {"chat_template", reading.chat.chat_template},
                {"template_date", reading.template_date},
                {"max_length", text(plan.rows.max_length)},
                {"packing", text(plan.rows.packing)},
                {"rows_per_batch", text(plan.rows_per_batch)},
                {"accumulate", text(plan.accumulate)}});
}

void add_optimizer(RunFacts& facts, const OptimizerOptions& optimizer) {
  const UpdateOptions& update = optimizer.update;
  facts.insert({{"learning_rate", text(optimizer.learning_rate)},
                {"schedule", optimizer.schedule},
                {"warmup_steps", text(optimizer.warmup_steps)},
                {"warmup_ratio", text(optimizer.warmup_ratio)},
                {"decay_steps", text(optimizer.decay_steps)},
                {"decay_ratio", text(optimizer.decay_ratio)},
                {"decay_shape", optimizer.decay_shape},
                {"min_learning_rate_ratio", text(optimizer.min_learning_rate_ratio)},
                {"weight_decay", text(update.weight_decay)},
                {"clip", text(optimizer.clip)},
                {"neftune_noise_alpha", text(optimizer.neftune_noise_alpha)},
                {"optimizer", update.optimizer},
                {"beta1", update.beta1},
                {"beta2", update.beta2},
                {"epsilon", update.epsilon},
                {"momentum", update.momentum},
                {"nesterov", update.nesterov},
                {"adjust_lr_fn", update.adjust_lr_fn}});
}

void add_lora(RunFacts& facts, const LoraOptions& adapter) {
  facts.insert({{"lora.rank", text(adapter.rank)},
                {"lora.alpha", text(adapter.alpha)},
                {"lora.dropout", text(adapter.dropout)},
                {"lora.rslora", text(adapter.rslora)},
                {"lora.dora", text(adapter.dora)},
                {"lora.start", adapter.start},
                {"lora.rank_pattern", base::join(adapter.rank_pattern, ",")},
                {"lora.alpha_pattern", base::join(adapter.alpha_pattern, ",")},
                {"lora.dropout_pattern", base::join(adapter.dropout_pattern, ",")},
                {"lora.exclude_modules", base::join(adapter.exclude_modules, ",")},
                {"lora.layers_to_transform", base::join(adapter.layers_to_transform, ",")},
                {"lora.layers_pattern", base::join(adapter.layers_pattern, ",")},
                {"lora.modules_to_save", base::join(adapter.modules_to_save, ",")},
                {"lora.trainable_tokens", fmt::format("{}", fmt::join(adapter.tokens, ","))},
                {"lora.ensure_weight_tying", text(adapter.ensure_weight_tying)},
                {"lora.loraplus_lr_ratio", text(adapter.loraplus_lr_ratio)},
                {"lora.loraplus_lr_embedding", text(adapter.loraplus_lr_embedding)}});
}

void add_objective(RunFacts& facts, const PreferenceOptions& preferences) {
  facts.insert({{"objective", preferences.objective},
                {"beta", text(preferences.beta)},
                {"label_smoothing", text(preferences.label_smoothing)},
                {"simpo_gamma", text(preferences.simpo_gamma)},
                {"desirable_weight", text(preferences.desirable_weight)},
                {"undesirable_weight", text(preferences.undesirable_weight)}});
}

// Those that options alone decide.
RunFacts option_facts(const TrainOptions& options) {
  const StartOptions& start = options.start;
  RunFacts facts = {{"new_tokens", text(start.new_tokens)},
                    {"new_special_tokens", text(start.new_special_tokens)},
                    {"method", start.method},
                    {"quantization", options.compute.quantization},
                    {"seed", text(options.compute.seed)}};
  facts["reference"] = options.preferences.is_held_to_base() && !start.adapter.empty() ? "base" : "start";
  add_reading(facts, options);
  add_optimizer(facts, options.optimizer);
  add_lora(facts, options.lora);
  add_objective(facts, options.preferences);
  return facts;
}

// A checkpoint of an earlier version leaves out what was not there yet, and defaults of some.
RunFacts completed(RunFacts saved, const RunFacts& now) {
  for (const auto& [key, value] : option_facts(TrainOptions{}))
    if (saved[key].empty()) saved[key] = value;
  saved.emplace("validation_data", now.at("validation_data"));
  return saved;
}

struct Difference {
  std::string option, value, expected;
};

std::optional<Difference> difference_of(const RunFacts& expected, const RunFacts& own) {
  // These explain why the examples are other ones. Where the examples are the same, they changed nothing.
  static const std::set<std::string> kOfTheExamples = {
      "limit", "validation_limit", "too_long",      "data_weights", "validation_share", "allow_special",
      "roles", "train_on",         "chat_template", "template_date"};
  static const std::set<std::string> kExamples = {"data", "validation_data"};
  static const std::set<std::string> kHashes = {"adapter", "values"};
  const auto value = [](const RunFacts& facts, const std::string& key) {
    const auto found = facts.find(key);
    return found == facts.end() ? "" : found->second;
  };
  std::set<std::string> keys;
  for (const RunFacts* facts : {&expected, &own})
    for (const auto& [key, ignored] : *facts)
      if (value(expected, key) != value(own, key)) keys.insert(key);
  const bool same_examples{!keys.contains("data") && !keys.contains("validation_data")};
  // More tokens make another model: the option says more than the model's size.
  std::vector<std::string> order(keys.begin(), keys.end());
  std::ranges::stable_partition(order, [](const std::string& key) { return key.starts_with("new_"); });
  for (const std::string& key : order) {
    if (kExamples.contains(key) || (same_examples && kOfTheExamples.contains(key))) continue;
    std::string option = "--" + key;
    std::ranges::replace(option, '_', '-');
    if (key == "values") option = "what trains, before the next step,";
    if (kHashes.contains(key)) return Difference{option, "another one", "the same one"};
    const auto shown = [](const std::string& it) { return it.empty() ? "none" : it; };
    return Difference{option, shown(value(own, key)), shown(value(expected, key))};
  }
  if (same_examples) return std::nullopt;
  return Difference{keys.contains("data") ? "--data" : "--validation-data", "other records", "the same records"};
}

}  // namespace

RunFacts facts_of(const TrainOptions& options, const lora::ModelFiles& files, const TrainingData& data,
                  at::ScalarType dtype, const std::string& first_hash) {
  const auto of = [](const Examples& examples) { return fmt::format("{:016x}", fingerprint(examples)); };
  RunFacts facts = option_facts(options);
  facts["model"] = lora::identity_of(files);
  facts["adapter"] = options.start.adapter.empty() ? "" : first_hash;
  facts["data"] = of(data.training);
  facts["validation_data"] = data.validation.empty() ? "" : of(data.validation);
  facts["lora.targets"] = base::join(lora::expand_targets(files.spec(), options.lora.targets), ",");
  facts["dtype"] = dtype == at::kFloat ? "float32" : "bfloat16";
  // As state.json gives them back: it has no bytes that are no text, such as those of a template's file name.
  return nlohmann::json::parse(base::json_dump(nlohmann::json(facts))).get<RunFacts>();
}

void check_same_run(const RunFacts& saved, const RunFacts& now) {
  RunFacts before = completed(saved, now), own = now;
  for (RunFacts* facts : {&before, &own})
    for (const char* free : {"steps", "rows_at_once"}) facts->erase(free);
  if (const auto found = difference_of(before, own))
    throw base::UsageError({"--resume would not continue the same run", found->option, found->value,
                            found->expected + ", as when it was started",
                            "give the same options and data, or start over with --overwrite"});
}

void check_same_template(const std::string& saved, const std::string& now) {
  if (saved != now)
    throw base::UsageError({"--resume would not continue the same run", "--chat-template",
                            now.empty() ? "none" : base::shortened(now),
                            (saved.empty() ? "none" : base::shortened(saved)) + ", as when it was started",
                            "give the same options and data, or start over with --overwrite"});
}

void check_same_in_group(const RunFacts& own, const Group& group) {
  if (group.size() == 1) return;
  const std::vector<std::string> all = group.gather(base::json_dump(nlohmann::json(own)));
  const auto first = nlohmann::json::parse(all[0]).get<RunFacts>();
  for (std::size_t rank = 1; rank < all.size(); ++rank)
    if (const auto found = difference_of(first, nlohmann::json::parse(all[rank]).get<RunFacts>()))
      throw base::UsageError({"the processes would not train the same run",
                              fmt::format("{} of rank {}", found->option, rank), found->value,
                              found->expected + ", as in rank 0",
                              found->option == "--resume"
                                  ? "give every process the checkpoints: --output on a disk that all share, or a copy"
                                  : "give every process the same options, data and model"});
}

}  // namespace finetune
