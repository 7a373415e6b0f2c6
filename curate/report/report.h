// What a run tells: report.json, the table at its end, and report.html.
#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/input_tally.h"
#include "curate/records/record.h"
#include "curate/stages/run_options.h"
#include "curate/stages/statistics.h"

namespace curate {

/// The facts of a run that are not counts.
struct RunFacts {
  std::vector<std::string> files;
  std::vector<FieldNames> fields;        ///< of the files; there may be several
  std::vector<std::string> field_notes;  ///< a line for each of them
  std::vector<base::FileLoss> losses;
  int threads = 1;
  double seconds = 0;
};

/// The object that report.json holds; docs/curate.md lists its keys. Everything but `seconds`, `threads` and
/// `megabytes_per_second` is the same for every run of the same options on the same input.
nlohmann::json make_report(const RunOptions& options, const RunFacts& facts, const Statistics& statistics);

/// What the table of sources leaves out; "" when it leaves nothing out.
std::string sources_note(const nlohmann::json& report);

/// One line per step: seen, dropped, share, time, MB/s; then where everything went.
void print_table(std::ostream& out, const nlohmann::json& report);

/// One self-contained page.
std::string report_html(const nlohmann::json& report);

/// The table, and what there is to say about the whole run.
void print_summary(std::ostream& out, const nlohmann::json& report);
/// The files that gave nothing, or not all.
std::vector<base::FileLoss> losses_of(const nlohmann::json& report);

}  // namespace curate
