// What of the options of a training can be refused before anything is read. Tested by
// tests/finetune/train_start_test.cc.
#pragma once

#include <string>

#include "base/options.h"
#include "base/program.h"
#include "finetune/train/train_options.h"
#include "lora/adapter/adapter.h"
#include "lora/model/config.h"
#include "lora/model/model_files.h"

namespace finetune {

// All throw base::UsageError. `declared`: the options as they were given, null: not known.

/// Whether an option was given, and not its default: run.yaml gives all.
bool is_chosen(const base::OptionSet* declared, const std::string& option);

void check_start(const StartOptions& start, const base::OptionSet* declared);
/// Numbers that float32 cannot compute with.
void check_numbers(const TrainOptions& options);
void check_sources(const SourceOptions& sources);
/// More rows of one step than anybody can mean, whose plans alone would fill the memory.
void check_step(const PlanOptions& plan);
/// Takes the model's context, and says so, where --max-length is longer and nobody has given it.
void fit_length(std::int64_t& max_length, const lora::ModelConfig& config, const base::Context& context);
void check_spike(double factor);
/// PiSSA and OLoRA (`start`, "" for none) need the numbers of the modules of `adapter` as they are.
void check_start_of(const lora::ModelFiles& files, const lora::Adapter& adapter, const std::string& start);
/// An option that the objective would ignore among them.
void check_preferences(const TrainOptions& options, const base::OptionSet* declared);

}  // namespace finetune
