// `curate run`: the pipeline.
#pragma once

#include "base/program.h"
#include "curate/stages/run_options.h"

namespace curate {

/// Runs the pipeline of `options` into its output folder. 0, or throws Error.
int run_pipeline(RunOptions& options, base::Context& context);

}  // namespace curate
