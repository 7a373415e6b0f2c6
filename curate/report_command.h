// `curate report`: the page again.
#pragma once

#include <string>
#include <vector>

#include "base/program.h"

namespace curate {

struct ReportOptions {
  std::vector<std::string> run;
  void visit(base::OptionVisitor& v) { v.positional("run", run, "output folder of curate run"); }
};

/// Writes report.html from report.json in each folder, and prints the table per step.
int run_report(ReportOptions& options, base::Context& context);

}  // namespace curate
