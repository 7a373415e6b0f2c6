#include "curate/report_command.h"

#include <fmt/ostream.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "curate/report.h"
#include "curate/sweep.h"

namespace curate {

int run_report(ReportOptions& options, base::Context& context) {
  if (options.run.empty())
    throw base::UsageError({"no folder was given", "run", "", "output folders of curate run", ""});
  for (const std::string& folder : options.run) {
    if (!options.sweep.empty()) {
      run_sweep(folder, options.sweep, context);
      continue;
    }
    const std::filesystem::path path = std::filesystem::path(folder) / "report.json";
    nlohmann::json report = nlohmann::json::parse(base::read_file(path), nullptr, false);
    if (!report.is_object() || !report.contains("steps"))
      throw base::Error({"not the report of a run", path.string(), "", "what curate run writes", ""});
    const std::filesystem::path page = std::filesystem::path(folder) / "report.html";
    base::check_outputs({page}, {path});
    base::write_file(page, report_html(report));
    if (!context.quiet) print_table(context.err, report);
    if (context.json) context.out << report.dump(1) << "\n";
  }
  return 0;
}

}  // namespace curate
