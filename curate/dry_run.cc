#include "curate/dry_run.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/text.h"
#include "curate/report/report.h"
#include "curate/stages/stage.h"

namespace curate {
namespace {

struct Sampled {
  std::uint64_t number = 0;  // of the record in the input
  std::string line;
  base::Place place;
  std::shared_ptr<const FieldSet> fields;
};

}  // namespace

int run_dry(RunOptions& options, base::Context& context) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> files = options.reading.files(context);
  StagePlan plan;
  bool deduplicates = false;
  for (const StagePlan& stage : plan_stages(options.steps)) {
    plan.rules.insert(plan.rules.end(), stage.rules.begin(), stage.rules.end());
    deduplicates |= stage.deduplicate != nullptr;
  }
  prepare_steps(options.steps, context);

  // Reservoir sampling (Vitter's algorithm R).
  FieldReader reader(files, options.reading.records(), options.reading.fields());
  base::InputTally tally;  // of records that are not parsed, all count as used where the text field is there
  std::vector<Sampled> sample;
  base::Random random(1);
  std::uint64_t records = 0;
  while (std::optional<DocumentBlock> documents = reader.next()) {
    for (const base::BadBytes& bad : documents->bad) tally.refuse(bad);
    if (!documents->fields) break;
    base::FileCount& count = tally.of(documents->block.file);
    count.advice = documents->lacks;
    base::for_each_line(documents->block, [&](std::string_view line, const base::Place& place) {
      if (documents->lacks.empty()) {
        ++count.used;
      } else {
        tally.refuse(place, "no text field");
      }
      const std::uint64_t number = records++;
      if (sample.size() < options.dry_run) {
        sample.push_back({number, std::string(line), place, documents->fields});
      } else if (std::uint64_t slot = random.below(records); slot < sample.size()) {
        sample[slot] = {number, std::string(line), place, documents->fields};
      }
    });
  }
  std::sort(sample.begin(), sample.end(), [](const Sampled& a, const Sampled& b) { return a.number < b.number; });
  StageSetup setup;
  setup.plan = plan;
  setup.files = files;
  setup.nan_is_null = options.nan == "null";
  setup.names = reader.names();
  StageWorker worker(setup);
  Statistics statistics;
  for (std::size_t i = 0; i < sample.size();) {
    DocumentBlock documents;
    documents.fields = sample[i].fields;
    documents.block.file = sample[i].place.file;
    for (; i < sample.size() && sample[i].fields == documents.fields; ++i) {
      documents.block.bytes += sample[i].line + "\n";
      documents.block.places.push_back(sample[i].place);
    }
    statistics.add(worker.read(std::move(documents)).statistics);
  }
  std::vector<FieldNames> fields;
  for (const auto& set : reader.sets()) fields.push_back(set->names);
  const std::vector<base::FileLoss> losses = tally.losses(files, options.reading.limit == 0);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  nlohmann::json report = make_report(options, {files, fields, reader.notes(), losses, 1, seconds}, statistics);

  const auto n = static_cast<double>(std::max<std::size_t>(1, sample.size()));
  const double share = static_cast<double>(statistics.kept.records) / n, z = 1.96;
  const double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  const bool all = sample.size() == records;
  const double low = all ? share : std::max(0.0, middle - half), high = all ? share : std::min(1.0, middle + half);
  const auto whole = static_cast<double>(records);
  double work = statistics.parse_seconds + statistics.write_seconds;
  for (const auto& [label, step] : statistics.steps) work += step.seconds;
  report["projection"] = {{"records", records},
                          {"sampled", sample.size()},
                          {"kept_share", share},
                          {"kept_share_low", low},
                          {"kept_share_high", high},
                          {"kept_records", std::llround(share * whole)},
                          {"kept_bytes", std::llround(static_cast<double>(statistics.kept.bytes) / n * whole)},
                          {"processor_seconds", work / n * whole},
                          {"without_deduplicate", deduplicates}};
  if (!context.quiet) {
    print_summary(context.err, report);
    fmt::print(
        context.err,
        "of {} records {} would be kept, {:.1f}% ({:.1f} to {:.1f}%): {} of text; about {} of processor time{}\n",
        base::human_count(records), base::human_count(static_cast<std::uint64_t>(std::llround(share * whole))),
        100 * share, 100 * low, 100 * high, base::human_bytes(static_cast<double>(statistics.kept.bytes) / n * whole),
        base::human_seconds(work / n * whole),
        deduplicates ? "; duplicates not counted, in a sample they do not meet" : "");
  }
  if (context.json) context.out << report.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  return base::tell_losses(losses, context);
}

}  // namespace curate
