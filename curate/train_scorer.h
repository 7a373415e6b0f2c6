// `curate train-scorer`: a textbook scorer from labelled records.
#pragma once

#include <filesystem>
#include <span>

#include "base/program.h"
#include "curate/train/labelled.h"

namespace curate {

/// Trains on one thread, the same bytes for the same texts and options, and writes `model` (.ftz when quantised).
void train_scorer_model(const TrainScorerOptions& options, std::span<const LabelledText* const> texts,
                        const std::filesystem::path& model);

base::Command train_scorer_command();

}  // namespace curate
