// `curate report`: the page again. Tested by tests/curate/report/report_test.cc.
#include "curate/report_command.h"

#include <fmt/ostream.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/outputs.h"
#include "curate/report/report.h"
#include "curate/report/sweep.h"

namespace curate {

int run_report(ReportOptions& options, base::Context& context) {
  if (options.run.empty())
    throw base::UsageError({"no folder was given", "run", "", "output folders of curate run", ""});
  nlohmann::json results = nlohmann::json::array();  // of sweeps
  for (const std::string& folder : options.run) {
    for (const std::string& sweep : options.sweep) results.push_back(run_sweep(folder, sweep, context));
    if (!options.sweep.empty()) continue;
    const std::filesystem::path path = std::filesystem::path(folder) / "report.json";
    nlohmann::json report = nlohmann::json::parse(base::read_file(path), nullptr, false);
    if (!report.is_object() || !report.contains("steps"))
      throw base::Error({"not the report of a run", path.string(), "", "what curate run writes", ""});
    const std::filesystem::path page = std::filesystem::path(folder) / "report.html";
    base::check_outputs({page}, {path});
    base::write_file(page, report_html(report));
    if (!context.quiet) {
      print_table(context.err, report);
      for (const nlohmann::json& note : report.value("notes", nlohmann::json::array()))
        fmt::print(context.err, "{}\n", note.get<std::string>());
    }
    if (context.json) context.out << base::json_dump(report, 1) << "\n";
  }
  if (context.json && !options.sweep.empty())
    context.out << base::json_dump(results.size() == 1 ? results.front() : results, 1) << "\n";
  return 0;
}

}  // namespace curate
