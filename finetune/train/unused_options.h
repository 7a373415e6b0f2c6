// Options of a training that were given and would change nothing.
#pragma once

#include "base/program.h"
#include "finetune/train/train_options.h"
#include "lora/model/spec.h"

namespace finetune {

/// Throws base::UsageError for one, or says so where another option is known to come before it. `context.options`:
/// the options as they were given, null: not known.
void check_unused(const TrainOptions& options, const base::Context& context);
/// The same of what only the base tells.
void check_unused_of(const lora::ModelSpec& spec, const TrainOptions& options, const base::OptionSet* declared);
/// The same of AdamW's options beside Muon, where AdamW steps nothing.
void check_adamw_part(const TrainOptions& options, bool has_part, const base::OptionSet* declared);
/// The same of --lora.loraplus-lr-embedding, where it is known what of the embedding trains by LoRA.
void check_loraplus(const LoraOptions& options, bool has_lora_on_embedding, const base::OptionSet* declared);

}  // namespace finetune
