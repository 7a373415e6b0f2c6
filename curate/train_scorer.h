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
/// The probability that a good document scores higher than a bad one, ties counted half. NaN without both kinds.
double area_under_curve(std::span<const double> good, std::span<const double> bad);

base::Command train_scorer_command();

}  // namespace curate
