// `curate run --dry-run N`: what a run would do, from a sample. Tested by tests/curate/losses_test.cc.
#include "curate/dry_run.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/random.h"
#include "base/text.h"
#include "curate/records/field_reader.h"
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

// A sample of the records of an input, and how many it has.
struct Sample {
  std::vector<Sampled> chosen;
  std::uint64_t records = 0;
  base::InputTally tally;  // records are not parsed: all count as used where the text field is there
};

// Reservoir sampling (Vitter's algorithm R).
Sample sample_of(FieldReader& reader, std::uint64_t size) {
  Sample sample;
  base::Random random(1);
  while (std::optional<DocumentBlock> documents = reader.next()) {
    for (const base::BadBytes& bad : documents->bad) sample.tally.refuse(bad);
    if (!documents->fields) break;
    base::FileCount& count = sample.tally.of(documents->block.file);
    count.advice = documents->lacks;
    base::for_each_line(documents->block, [&](std::string_view line, const base::Place& place) {
      if (documents->lacks.empty()) {
        ++count.used;
      } else {
        sample.tally.refuse(place, "no text field");
      }
      const std::uint64_t number = sample.records++;
      if (sample.chosen.size() < size) {
        sample.chosen.push_back({number, std::string(line), place, documents->fields});
      } else if (const std::uint64_t slot = random.below(sample.records); slot < sample.chosen.size()) {
        sample.chosen[slot] = {number, std::string(line), place, documents->fields};
      }
    });
  }
  std::ranges::sort(sample.chosen, {}, &Sampled::number);
  return sample;
}

// Runs the rules over the sample.
Statistics run_rules(const std::vector<Sampled>& sample, const StageSetup& setup) {
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
  return statistics;
}

// What all records would give, as the sample has it.
struct Projection {
  std::uint64_t records = 0, sampled = 0;
  double share = 0, low = 0, high = 0;  // kept; low and high: Wilson's interval of 95 %
  double kept_bytes = 0, seconds = 0;

  long long kept_records() const { return std::llround(share * static_cast<double>(records)); }
};

Projection project(const Statistics& statistics, const Sample& sample) {
  Projection all{sample.records, sample.chosen.size()};
  const auto n = static_cast<double>(std::max<std::size_t>(1, sample.chosen.size()));
  const auto whole = static_cast<double>(sample.records);
  const double share = static_cast<double>(statistics.kept.records) / n, z = 1.96;
  const double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  const bool complete = all.sampled == all.records;
  all.share = share;
  all.low = complete ? share : std::max(0.0, middle - half);
  all.high = complete ? share : std::min(1.0, middle + half);
  all.kept_bytes = static_cast<double>(statistics.kept.bytes) / n * whole;
  double work = statistics.parse_seconds + statistics.write_seconds;
  for (const auto& [label, step] : statistics.steps) work += step.seconds;
  all.seconds = work / n * whole;
  return all;
}

nlohmann::json to_json(const Projection& all, bool deduplicates) {
  return {{"records", all.records},
          {"sampled", all.sampled},
          {"kept_share", all.share},
          {"kept_share_low", all.low},
          {"kept_share_high", all.high},
          {"kept_records", all.kept_records()},
          {"kept_bytes", std::llround(all.kept_bytes)},
          {"processor_seconds", all.seconds},
          {"without_deduplicate", deduplicates}};
}

void print(std::ostream& out, const Projection& all, bool deduplicates) {
  fmt::print(
      out, "of {} records {} would be kept, {:.1f}% ({:.1f} to {:.1f}%): {} of text; about {} of processor time{}\n",
      base::human_count(all.records), base::human_count(static_cast<std::uint64_t>(all.kept_records())),
      100 * all.share, 100 * all.low, 100 * all.high, base::human_bytes(all.kept_bytes),
      base::human_seconds(all.seconds), deduplicates ? "; duplicates not counted, in a sample they do not meet" : "");
}

}  // namespace

int run_dry(RunOptions& options, base::Context& context) {
  const auto start = std::chrono::steady_clock::now();
  StageSetup setup;
  setup.files = options.reading.files(context);
  setup.nan_is_null = options.nan == "null";
  bool deduplicates = false;
  for (const StagePlan& stage : plan_stages(options.steps)) {
    setup.plan.rules.insert(setup.plan.rules.end(), stage.rules.begin(), stage.rules.end());
    deduplicates |= stage.deduplicate != nullptr;
  }
  prepare_steps(options.steps, context);
  FieldReader reader(setup.files, options.reading.records(), options.reading.fields());
  setup.names = reader.names();
  const Sample sample = sample_of(reader, options.dry_run);
  const Statistics statistics = run_rules(sample.chosen, setup);
  std::vector<FieldNames> fields;
  for (const auto& set : reader.sets()) fields.push_back(set->names);
  const std::vector<base::FileLoss> losses = sample.tally.losses(setup.files, options.reading.limit == 0);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  nlohmann::json report = make_report(options, {setup.files, fields, reader.notes(), losses, 1, seconds}, statistics);
  const Projection all = project(statistics, sample);
  report["projection"] = to_json(all, deduplicates);
  if (!context.quiet) {
    print_summary(context.err, report);
    print(context.err, all, deduplicates);
  }
  if (context.json) context.out << base::json_dump(report, 1) << "\n";
  return base::tell_losses(losses, context);
}

}  // namespace curate
