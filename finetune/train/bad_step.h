// A step that must not be taken: what is wrong with it, and its rows for who looks for the cause.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "finetune/model/model.h"
#include "finetune/train/metrics.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

/// "the loss is not finite", "the norm of the gradient is 31 times its median of the last 32 steps"; "": nothing. A
/// spike is more than `factor` times the median of at least eight of the steps `before`; 0: none is looked for.
std::string wrong_with(const StepMetrics& now, std::span<const StepMetrics> before, double factor);

/// A line of JSON for each batch that went through the model:
/// {"step":7,"batch":0,"loss":null,"documents":[{"text":"...", "ids":[...],"targets":[...]}]}. A loss that is no number
/// is null; a target of -100 is not trained.
void write_bad_step(const std::filesystem::path& file, std::int64_t step, std::span<const PackedRow> batches,
                    std::span<const double> losses, const tokenizer::Tokenizer& tokenizer);

}  // namespace finetune
