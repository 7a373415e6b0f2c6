// Options of a training that contradict each other. Tested by tests/finetune/train_start_test.cc.
#include "finetune/train/train_checks.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/model_card.h"

namespace finetune {

bool is_chosen(const base::OptionSet* declared, const std::string& option) {
  const base::Option* found = declared ? declared->find(option) : nullptr;
  return found && found->given && base::join(found->get(), ", ") != found->fallback;
}

void check_start(const StartOptions& start, const base::OptionSet* declared) {
  if (start.model.empty() && start.adapter.empty())
    throw base::UsageError({"no model", "--model", "", "a Hugging Face folder or a .gguf file", ""});
  if (!start.adapter.empty())
    for (const std::vector<std::string>* tokens : {&start.new_tokens, &start.new_special_tokens})
      if (!tokens->empty())
        throw base::UsageError({"only for a fresh adapter",
                                tokens == &start.new_tokens ? "--new-tokens" : "--new-special-tokens",
                                base::join(*tokens, ", "), "the tokens that the adapter was trained with",
                                "merge it first, and give the merged model: lora merge " + start.adapter});
  if (!start.base_name.empty()) lora::check_base_name(start.base_name);
  if (!start.trains_all()) return;
  if (!start.adapter.empty())
    throw base::UsageError({"every weight trains, and none of an adapter", "--adapter", start.adapter, "no adapter",
                            "merge it first, and give the merged model: lora merge " + start.adapter});
  if (!declared) return;
  for (const base::Option& option : declared->options())
    if (option.name.starts_with("lora.") && is_chosen(declared, option.name))
      throw base::UsageError({"an option of adapters, and --method full trains every weight", "--" + option.name,
                              base::join(option.get(), ", "), "", "leave it out"});
}

void check_numbers(const TrainOptions& options) {
  constexpr double kMost{1e30};  // with room for what float32 multiplies them with
  const OptimizerOptions& optimizer = options.optimizer;
  const PreferenceOptions& preferences = options.preferences;
  const std::pair<const char*, double> all[] = {
      {"--learning-rate", optimizer.learning_rate},
      {"--lora.loraplus-lr-ratio times --learning-rate", options.lora.loraplus_lr_ratio * optimizer.learning_rate},
      {"--lora.loraplus-lr-embedding", options.lora.loraplus_lr_embedding},
      {"--weight-decay", optimizer.update.weight_decay},
      {"--clip", optimizer.clip},
      {"--neftune-noise-alpha", optimizer.neftune_noise_alpha},
      {"--lora.alpha", options.lora.alpha},
      {"--beta", preferences.beta},
      {"--simpo-gamma", preferences.simpo_gamma},
      {"--desirable-weight", preferences.desirable_weight},
      {"--undesirable-weight", preferences.undesirable_weight}};
  for (const auto& [option, value] : all)
    if (value > kMost)
      throw base::UsageError({"beyond what float32 computes with", option, fmt::format("{}", value),
                              fmt::format("at most {}", kMost), ""});
}

void check_sources(const SourceOptions& sources) {
  if (sources.data.empty()) throw base::UsageError({"no training data", "--data", "", "one or more files", ""});
  if (!sources.validation_data.empty() && sources.validation_share > 0)
    throw base::UsageError("give --validation-data or --validation-share, not both");
}

void check_step(const PlanOptions& plan) {
  constexpr std::int64_t kMost{std::int64_t{1} << 20};
  if (plan.rows_per_batch <= kMost / plan.accumulate) return;
  throw base::UsageError({"too many rows in one step", "--rows-per-batch times --accumulate",
                          fmt::format("{} times {}", plan.rows_per_batch, plan.accumulate),
                          fmt::format("at most {} rows", kMost), "more --steps of fewer rows"});
}

void fit_length(std::int64_t& max_length, const lora::ModelConfig& config, const base::Context& context) {
  const std::int64_t most{config.context_length};
  if (max_length <= most) return;
  const base::Option* option = context.options ? context.options->find("max_length") : nullptr;
  if (option ? option->given : max_length != RowOptions{}.max_length)
    throw base::UsageError({"rows longer than the model's context", "--max-length", fmt::format("{}", max_length),
                            fmt::format("at most {}", most), fmt::format("--max-length {}", most)});
  if (!context.quiet)
    fmt::print(context.err, "note: rows of up to {} tokens, which are the model's context, and not of {}\n", most,
               max_length);
  max_length = most;
}

void check_spike(double factor) {
  if (factor == 0 || factor > 1) return;
  throw base::UsageError({"ordinary steps would be spikes", "--spike-factor", fmt::format("{}", factor),
                          "0, or a number above 1, such as 10", ""});
}

void check_start_of(const lora::ModelFiles& files, const lora::Adapter& adapter, const std::string& start) {
  if (start.empty()) return;
  for (const lora::AdapterModule& module : adapter.modules)
    if (const std::string name = lora::changed_tensor(files, module.name + ".weight");
        files.type(name) > base::DType::kBF16 || files.is_packed(name))
      throw base::UsageError(
          {"a start is taken out of weights, and this base's are quantised", "--lora.start", start,
           "a base in float32, bfloat16 or float16",
           fmt::format("{} is {}: give another --model, or leave the start out", name, files.type_name(name))});
}

void check_preferences(const TrainOptions& options, const base::OptionSet* declared) {
  const std::string& objective = options.preferences.objective;
  if (options.preferences.is_on() && options.plan.rows.too_long == "split")
    throw base::UsageError({"answers to be compared cannot be split", "--too-long", "split", "truncate or drop", ""});
  if (options.preferences.is_on() && options.reading.maker.train_on.value() == tokenizer::TrainOn::kAll)
    throw base::UsageError({"a preference is one of answers, and prompts have none", "--train-on", "all",
                            "assistant or last", "leave it out"});
  static const std::map<std::string, std::vector<std::string>> kReaders = {
      {"beta", {"dpo", "ipo", "hinge", "simpo", "orpo", "kto"}},
      {"reference", {"dpo", "ipo", "hinge", "kto"}},
      {"label_smoothing", {"dpo", "simpo"}},
      {"simpo_gamma", {"simpo"}},
      {"desirable_weight", {"kto"}},
      {"undesirable_weight", {"kto"}}};
  for (const auto& [option, readers] : kReaders) {
    if (!is_chosen(declared, option) || std::ranges::find(readers, objective) != readers.end()) continue;
    std::string flag = "--" + option;
    std::ranges::replace(flag, '_', '-');
    throw base::UsageError({"an option of another objective", flag, base::join(declared->find(option)->get(), ", "),
                            "--objective " + base::join(readers, ", "), "leave it out: this is " + objective});
  }
  if (options.start.adapter.empty() && is_chosen(declared, "reference"))
    throw base::UsageError({"without an adapter to go on from the start is the base", "--reference",
                            base::join(declared->find("reference")->get(), ", "), "--adapter with it", "leave it out"});
}

}  // namespace finetune
