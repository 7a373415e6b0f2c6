// `lora export --for RUNTIME`: the command that makes what a runtime serves, run and verified.
#pragma once

#include "lora/commands.h"

namespace lora {

/// Prints the equivalent command, runs it, reads the result back and compares it, and prints the line to type in that
/// runtime. Gives 1 when the result is farther from base and adapter than its types explain.
int run_export_for(ExportOptions& options, base::Context& context);

}  // namespace lora
