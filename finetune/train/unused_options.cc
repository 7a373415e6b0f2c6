// Options of a training that were given and would change nothing. Tested by tests/finetune/unused_options_test.cc.
#include "finetune/train/unused_options.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "finetune/train/train_checks.h"

namespace finetune {
namespace {

class Unused {
 public:
  explicit Unused(const base::OptionSet* declared) : declared_(declared) {}
  bool is_chosen(const char* option) const { return finetune::is_chosen(declared_, option); }
  std::string shown(const char* option) const {
    return declared_->find(option)->flag() + " " + base::join(declared_->find(option)->get(), ", ");
  }
  // Where `option` was given.
  void refuse(const char* option, const char* why, const std::string& expected) const {
    if (!is_chosen(option)) return;
    throw base::UsageError({why, declared_->find(option)->flag(), base::join(declared_->find(option)->get(), ", "),
                            expected, "leave it out"});
  }

 private:
  const base::OptionSet* declared_;
};

void check_evaluation(const Unused& unused, const TrainOptions& options) {
  const bool validates{!options.sources.validation_data.empty() || options.sources.validation_share > 0};
  const std::string with_it = "--validation-data or --validation-share with it";
  if (options.sources.validation_data.empty() && options.reading.validation_limit > 0)
    throw base::UsageError({"a limit of validation records that nothing reads", "--validation-limit",
                            fmt::format("{}", options.reading.validation_limit), "--validation-data",
                            "leave it out; what --validation-share holds out is a share of the records read"});
  if (!validates && options.samples.sample_prompts.empty())
    for (const auto& [option, is_asked] :
         {std::pair("eval_every", options.intervals.eval_every > 0), std::pair("samples", options.samples.samples > 0),
          std::pair("sample_tokens", true)})
      if (is_asked)
        unused.refuse(option, "nothing validates and there are no prompts", with_it + ", or --sample-prompts");
  if (validates && options.samples.sample_prompts.empty() && options.samples.samples == 0)
    unused.refuse("sample_tokens", "no samples are written", "--samples above 0, or --sample-prompts");
  if (!options.samples.sample_prompts.empty() && options.samples.samples > 0)
    unused.refuse("samples", "a number of validation's examples, and the prompts are given", "no --sample-prompts");
}

}  // namespace

void check_unused(const TrainOptions& options, const base::Context& context) {
  if (options.start.trains_all() && options.compute.quantization != "none")
    throw base::UsageError({"every weight trains, and none of the frozen base is left to be quantised",
                            "--quantization", options.compute.quantization, "none", "leave it out, or --method lora"});
  const Unused unused(context.options);
  check_evaluation(unused, options);
  if (options.lora.layers_to_transform.empty())
    unused.refuse("lora.layers_pattern", "what it stands before is not asked for",
                  "--lora.layers-to-transform with it");
  if (options.lora.loraplus_lr_ratio == 1)
    unused.refuse("lora.loraplus_lr_embedding", "a rate of LoRA+, which is off", "--lora.loraplus-lr-ratio with it");
  if (options.reading.cache.data_cache == "none")
    unused.refuse("data_cache_limit", "nothing is kept", "another --data-cache");
  const auto tell = [&](bool is_second, const char* first, const char* second) {
    if (is_second && unused.is_chosen(second) && !context.quiet)
      fmt::print(context.err, "note: {} decides, {} does not count\n", unused.shown(first), unused.shown(second));
  };
  tell(options.plan.steps > 0 && context.options, "steps", "epochs");
  tell(options.optimizer.warmup_steps > 0 && context.options, "warmup_steps", "warmup_ratio");
  tell(options.optimizer.decay_steps > 0 && context.options, "decay_steps", "decay_ratio");
}

void check_unused_of(const lora::ModelSpec& spec, const TrainOptions& options, const base::OptionSet* declared) {
  if (!options.start.adapter.empty()) return;
  if (!spec.config.tied_embeddings)
    Unused(declared).refuse("lora.ensure_weight_tying", "the base does not tie its head to its embedding",
                            "a base that ties them");
  const auto is_end = [&](const std::string& name) {
    return lora::names_module({name}, spec.embedding) || lora::names_module({name}, spec.head);
  };
  if (std::ranges::none_of(options.lora.targets, is_end) &&
      std::ranges::none_of(options.lora.modules_to_save, is_end) && options.lora.trainable_tokens.empty() &&
      options.start.new_tokens.empty() && options.start.new_special_tokens.empty())
    Unused(declared).refuse("lora.ensure_weight_tying", "neither head nor embedding trains",
                            "embed_tokens in --lora.targets or --lora.modules-to-save, or tokens that train");
}

void check_adamw_part(const TrainOptions& options, bool has_part, const base::OptionSet* declared) {
  if (options.optimizer.update.optimizer != "muon" || has_part) return;
  for (const char* option : {"beta1", "beta2", "epsilon"})
    Unused(declared).refuse(option, "an option of AdamW, and Muon takes all that trains here",
                            "--optimizer adamw, or vectors or vocabularies that train");
}

void check_loraplus(const LoraOptions& options, bool has_lora_on_embedding, const base::OptionSet* declared) {
  if (options.loraplus_lr_ratio != 1 && !has_lora_on_embedding)
    Unused(declared).refuse("lora.loraplus_lr_embedding", "the embedding has no LoRA",
                            "embed_tokens in --lora.targets");
}

}  // namespace finetune
