// `curate report`: the page again.
#pragma once

#include <string>
#include <vector>

#include "base/program.h"

namespace curate {

struct ReportOptions {
  std::vector<std::string> run, sweep;
  void visit(base::OptionVisitor& v) {
    v.positional("run", run, "output folder of curate run");
    v("sweep", sweep, "of a run with --keep-values: what other thresholds would keep, STEP.OPTION=VALUE,VALUE,...");
  }
};

/// Writes report.html from report.json in each folder, and prints the table per step; or, with `sweep`, what other
/// thresholds would have kept (see sweep.h).
int run_report(ReportOptions& options, base::Context& context);

}  // namespace curate
