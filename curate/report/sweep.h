// `curate report DIR --sweep STEP.OPTION=A,B,C`: what another threshold would have done.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/program.h"

namespace curate {

/// Out of a run made with --keep-values, without running anything again: for each value of the option, how many records
/// the rules would keep. Near-duplicates are not searched again: the counts are those before `deduplicate`. `sweep` is
/// "STEP.OPTION=VALUE,VALUE,..."; the measure that the option is the threshold of is found by trying. Returns what
/// --json prints. Throws UsageError when no measure depends on the option (one that changes the text, say), Error when
/// the run kept no values.
nlohmann::json run_sweep(const std::string& folder, const std::string& sweep, base::Context& context);

}  // namespace curate
