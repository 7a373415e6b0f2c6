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
#include "curate/report.h"
#include "curate/stage.h"

namespace curate {
namespace {

struct Sampled {
  std::uint64_t number = 0;  // of the record in the input
  std::string line;
  base::Place place;
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
  std::vector<base::BadBytes> bad;
  std::vector<Sampled> sample;
  base::Random random(1);
  std::uint64_t records = 0;
  while (std::optional<base::Block> block = reader.next(bad)) {
    bad.clear();
    base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
      const std::uint64_t number = records++;
      if (sample.size() < options.dry_run) {
        sample.push_back({number, std::string(line), place});
      } else if (std::uint64_t slot = random.below(records); slot < sample.size()) {
        sample[slot] = {number, std::string(line), place};
      }
    });
  }
  std::sort(sample.begin(), sample.end(), [](const Sampled& a, const Sampled& b) { return a.number < b.number; });
  InputItem item;
  for (const Sampled& one : sample) {
    item.block.bytes += one.line + "\n";
    item.block.places.push_back(one.place);
  }
  StageSetup setup;
  setup.plan = plan;
  setup.fields = reader.fields();
  setup.files = files;
  setup.nan_is_null = options.nan == "null";
  setup.names = reader.names();
  BlockResult result = StageWorker(setup).read(std::move(item));
  const Statistics& statistics = result.statistics;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  nlohmann::json report = make_report(options, {files, reader.fields(), 1, seconds}, statistics);

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
    print_table(context.err, report);
    print_record_notes(context.err, report);
    fmt::print(
        context.err,
        "of {} records {} would be kept, {:.1f}% ({:.1f} to {:.1f}%): {} of text; about {} of processor time{}\n",
        base::human_count(records), base::human_count(static_cast<std::uint64_t>(std::llround(share * whole))),
        100 * share, 100 * low, 100 * high, base::human_bytes(static_cast<double>(statistics.kept.bytes) / n * whole),
        base::human_seconds(work / n * whole),
        deduplicates ? "; duplicates not counted, in a sample they do not meet" : "");
  }
  if (context.json) context.out << report.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  return 0;
}

}  // namespace curate
