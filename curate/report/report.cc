// What a run tells: report.json, the table at its end, and report.html. Tested by tests/curate/report/report_test.cc.
#include "curate/report/report.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/program.h"
#include "base/text.h"
#include "curate/dedup/duplicate_search.h"
#include "curate/steps/deduplicate.h"

namespace curate {
using nlohmann::json;

namespace {

// The threshold that belongs to a score: the min_score of the step that is called like it ("textbook") or begins it
// ("language" for "language_score").
json threshold_of(const std::string& score, const RunOptions& options) {
  for (const base::NamedGroup& step : options.steps) {
    if (score != step.name && !score.starts_with(step.name + "_")) continue;
    base::OptionVisitor visitor;
    step.group->visit(visitor);
    for (const base::Option& option : visitor.options())
      if (option.name == "min_score") return std::stod(option.get().at(0));
  }
  return nullptr;
}

double rate(std::uint64_t bytes, double seconds) {
  return seconds > 0 ? static_cast<double>(bytes) / 1e6 / seconds : 0;
}

}  // namespace

std::string sources_note(const json& report) {
  const auto read = report["other_sources"]["read"]["records"].get<std::uint64_t>();
  if (read == 0) return "";
  return fmt::format("sources: the {} largest are listed; all others together: {} read, {} kept",
                     base::human_count(report["sources"].size()), base::human_count(read),
                     base::human_count(report["other_sources"]["kept"]["records"].get<std::uint64_t>()));
}

// What documents lack for the search for duplicates, and sources that it prefers and that never came.
std::vector<std::string> preference_notes(const RunOptions& options, const Statistics& statistics) {
  std::vector<std::string> notes;
  for (const auto& [label, unranked] : statistics.unranked)
    for (const std::string& note : unranked.notes()) notes.push_back(label + ": " + note);
  if (statistics.other_sources.read.records > 0) return notes;  // not all are known
  for (const base::NamedGroup& step : options.steps) {
    const auto* deduplicate = dynamic_cast<const Deduplicate*>(step.group.get());
    if (deduplicate == nullptr || deduplicate->keep != "source_order") continue;
    std::vector<std::string> absent;
    for (const std::string& source : deduplicate->sources)
      if (!statistics.sources.contains(source)) absent.push_back(source);
    if (!absent.empty())
      notes.push_back(fmt::format("{}: no record comes from these sources: {}", step.label, base::join(absent, ", ")));
  }
  return notes;
}

// Of losses, so many are among the notes; `losses` has all.
constexpr std::size_t kMostNotes = 20;

json make_report(const RunOptions& options, const RunFacts& facts, const Statistics& statistics) {
  Statistics listed = statistics;
  listed.limit_sources(Statistics::kMostSources);
  json all = to_json(listed);
  json report;
  report["program"] = std::string("hornbook curate ") + base::version();
  report["input"] = facts.files;
  report["notes"] = json::array();
  report["other_fields"] = json::array();
  for (const FieldNames& names : facts.fields) {
    const json one = {{"text", names.text}, {"id", names.id}, {"source", names.source}, {"date", names.date}};
    if (report.contains("fields")) {
      report["other_fields"].push_back(one);
    } else {
      report["fields"] = one;
    }
  }
  report["field_notes"] =
      facts.field_notes.size() > 1 ? json(facts.field_notes) : json::array();  // one is nothing special
  for (const json& note : report["field_notes"]) report["notes"].push_back(note);
  for (const char* key : {"read", "kept", "dropped", "quarantined", "input_bytes", "errors", "sources", "other_sources",
                          "languages", "lengths", "counts", "clusters", "samples", "near_misses"})
    report[key] = all[key];
  report["losses"] = json::array();
  for (const base::FileLoss& loss : facts.losses) {
    report["losses"].push_back(
        {{"file", loss.file}, {"cause", loss.cause}, {"used", loss.count.used}, {"refused", loss.count.refused}});
    if (report["losses"].size() <= kMostNotes) report["notes"].push_back("lost: " + loss.file + ": " + loss.cause);
  }
  report["steps"] = json::array();
  for (const base::NamedGroup& step : options.steps) {
    auto found = statistics.steps.find(step.label);
    const StepCounts counts = found == statistics.steps.end() ? StepCounts{} : found->second;
    double share = counts.seen.records == 0
                       ? 0
                       : static_cast<double>(counts.dropped.records) / static_cast<double>(counts.seen.records);
    json options_of = json::object();
    base::OptionVisitor visitor;
    step.group->visit(visitor);
    for (const base::Option& option : visitor.options()) options_of[option.name] = base::join(option.get(), ", ");
    report["steps"].push_back({{"step", step.label},
                               {"options", options_of},
                               {"seen", counts.seen.records},
                               {"seen_bytes", counts.seen.bytes},
                               {"dropped", counts.dropped.records},
                               {"dropped_bytes", counts.dropped.bytes},
                               {"edited", counts.edited.records},
                               {"share", share},
                               {"reasons", counts.reasons},
                               {"seconds", counts.seconds},
                               {"megabytes_per_second", rate(counts.seen.bytes, counts.seconds)}});
    for (const Note& note : dynamic_cast<const Step&>(*step.group).notes()) {
      report["steps"].back()["notes"][note.name] = note.count;
      if (!note.text.empty()) report["notes"].push_back(step.label + ": " + note.text);
    }
  }
  if (const std::string note = sources_note(report); !note.empty()) report["notes"].push_back(note);
  report["repeated_keys"] = statistics.repeated_keys;
  report["non_finite"] = statistics.non_finite;
  report["bounded"] = statistics.bounded;
  report["record_notes"] = record_notes(statistics.repeated_keys, statistics.non_finite, options.nan == "null");
  for (const json& note : report["record_notes"]) report["notes"].push_back(note);
  report["unranked"] = all["unranked"];
  report["preference_notes"] = preference_notes(options, statistics);
  for (const json& note : report["preference_notes"]) report["notes"].push_back(note);
  if (statistics.bounded > 0) report["notes"].push_back("deduplicate: " + bounded_note(statistics.bounded));
  report["scores"] = json::object();
  for (const auto& [name, counts] : statistics.scores)
    report["scores"][name] = {
        {"threshold", threshold_of(name, options)}, {"low", 0}, {"high", 1}, {"counts", counts.bins}};
  report["threads"] = facts.threads;
  report["seconds"] = all["seconds"];
  report["seconds"]["total"] = facts.seconds;
  report["megabytes_per_second"] = rate(statistics.input_bytes, facts.seconds);
  return report;
}

void print_table(std::ostream& out, const json& report) {
  auto count = [](const json& number) { return base::human_count(number.get<std::uint64_t>()); };
  fmt::print(out, "{:<24}{:>12}{:>12}{:>9}{:>10}{:>10}\n", "step", "seen", "dropped", "share", "seconds", "MB/s");
  auto work = [&](const char* name, double seconds) {
    fmt::print(out, "{:<24}{:>12}{:>12}{:>9}{:>10.2f}{:>10}\n", name, "", "", "", seconds, "");
  };
  const json& seconds = report["seconds"];
  work("(read and parse)", seconds["parse"].get<double>());
  for (const json& step : report["steps"])
    fmt::print(out, "{:<24}{:>12}{:>12}{:>8.1f}%{:>10.2f}{:>10.1f}\n", step["step"].get<std::string>(),
               count(step["seen"]), count(step["dropped"]), 100 * step["share"].get<double>(),
               step["seconds"].get<double>(), step["megabytes_per_second"].get<double>());
  if (seconds["duplicates"].get<double>() > 0) work("(match duplicates)", seconds["duplicates"].get<double>());
  work("(compress)", seconds["write"].get<double>());
  const double read = static_cast<double>(std::max<std::uint64_t>(1, report["read"]["records"].get<std::uint64_t>()));
  fmt::print(out, "read {} = kept {} ({:.1f}%) + dropped {} + quarantined {}; {:.2f} s, {:.1f} MB/s, {} thread{}\n",
             count(report["read"]["records"]), count(report["kept"]["records"]),
             100 * static_cast<double>(report["kept"]["records"].get<std::uint64_t>()) / read,
             count(report["dropped"]["records"]), count(report["quarantined"]["records"]),
             seconds["total"].get<double>(), report["megabytes_per_second"].get<double>(), report["threads"].get<int>(),
             report["threads"].get<int>() == 1 ? "" : "s");
}

void print_summary(std::ostream& out, const json& report) {
  print_table(out, report);
  if (const std::string note = sources_note(report); !note.empty()) fmt::print(out, "{}\n", note);
  for (const char* notes : {"field_notes", "record_notes", "preference_notes"})
    for (const json& note : report[notes]) fmt::print(out, "{}\n", note.get<std::string>());
  if (const auto refused = report["quarantined"]["records"].get<std::uint64_t>(); refused > 0) {
    const auto tell = [](const std::string& error, std::uint64_t times) {
      return fmt::format("{} times '{}'", base::human_count(times), base::shortened(base::trim(error), 100));
    };
    const auto errors = report["errors"].get<std::map<std::string, std::uint64_t>>();
    fmt::print(out, "quarantined: {}\n", base::most_frequent({errors.rbegin(), errors.rend()}, 3, tell));
  }
  if (const auto bounded = report["bounded"].get<std::uint64_t>(); bounded > 0)
    fmt::print(out, "deduplicate: {}\n", bounded_note(bounded));
  if (!report.contains("parquet")) return;
  const json& json_text = report["parquet"]["json_text"];
  fmt::print(out, "kept as Parquet with {} fields\n", report["parquet"]["fields"].get<std::size_t>());
  if (!json_text.empty())
    fmt::print(out, "{} with values of different types, now JSON text: {}\n", json_text.size(),
               base::shortened(base::join(json_text.get<std::vector<std::string>>(), ", "), 200));
}

std::vector<base::FileLoss> losses_of(const json& report) {
  std::vector<base::FileLoss> losses;
  for (const json& loss : report.value("losses", json::array()))
    losses.push_back({loss.at("file").get<std::string>(), loss.at("cause").get<std::string>(), {}});
  return losses;
}

}  // namespace curate
