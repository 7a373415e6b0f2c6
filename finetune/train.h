// `finetune train`: training of one model, in one process or several.
#pragma once

#include "base/program.h"
#include "finetune/train/train_options.h"

namespace finetune {

/// Trains and writes the output folder. Returns 0; 1 when nothing was learned; base::kInterrupted when a signal ended
/// it, saved, before its last step. Throws base::Error; nothing is written when the run cannot begin.
int run_train(TrainOptions& options, base::Context& context);

base::Command train_command();

}  // namespace finetune
