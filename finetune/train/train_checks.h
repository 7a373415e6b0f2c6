// What of the options of a training can be refused before anything is read. Tested by
// tests/finetune/train_start_test.cc.
#pragma once

#include <string>

#include "base/options.h"
#include "finetune/train/train_options.h"
#include "lora/model/config.h"

namespace finetune {

// All throw base::UsageError. `declared`: the options as they were given, null: not known.

/// Whether an option was given, and not its default: run.yaml gives all.
bool is_chosen(const base::OptionSet* declared, const std::string& option);

void check_start(const StartOptions& start, const base::OptionSet* declared);
void check_sources(const SourceOptions& sources);
/// More rows of one step than anybody can mean, whose plans alone would fill the memory.
void check_step(const PlanOptions& plan);
void check_rows(const RowOptions& rows, const lora::ModelConfig& config);
void check_spike(double factor);
/// An option that the objective would ignore among them.
void check_preferences(const TrainOptions& options, const base::OptionSet* declared);

}  // namespace finetune
