// What a run tells: report.json, the table at its end, and report.html.
#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "curate/record.h"
#include "curate/run_options.h"
#include "curate/statistics.h"

namespace curate {

/// The facts of a run that are not counts.
struct RunFacts {
  std::vector<std::string> files;
  FieldNames fields;
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

/// Says what was found in records that no step looks at.
void print_record_notes(std::ostream& out, const nlohmann::json& report);

}  // namespace curate
