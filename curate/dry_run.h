// `curate run --dry-run N`: what a run would do, from a sample.
#pragma once

#include "base/program.h"
#include "curate/stages/run_options.h"

namespace curate {

/// Reads the whole input (without parsing it), takes `options.dry_run` records of it at random, always the same ones,
/// and runs the rules over them; nothing is written. Prints the table, what is to be expected of the whole input, and
/// how sure that is (95 %, Wilson's interval). Steps deduplicate are left out: in a sample duplicates do not meet.
int run_dry(RunOptions& options, base::Context& context);

}  // namespace curate
