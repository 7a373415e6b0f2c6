#include "curate/report/sweep.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_record.h"
#include "base/records.h"
#include "base/suggestions.h"
#include "base/text.h"
#include "curate/stages/run_options.h"

namespace curate {
namespace fs = std::filesystem;
namespace {

// How one option decides: the measure that it is the threshold of, on which side of it a document fails, and whether it
// does at the threshold itself.
struct Decision {
  std::string measure;
  bool fails_above = false, fails_at = false;
  bool fails(double value, double threshold) const {
    return value == threshold ? fails_at : fails_above ? value > threshold : value < threshold;
  }
};

// Prose with every kind of thing in it, so that every measure is taken and none is 0: where a threshold is below the
// value and where it is above, one of the two fails, which tells the side.
const std::string kProbe = [] {
  std::string text;
  for (int i = 0; i < 30; ++i)
    text += fmt::format("The reader of page {} has to be patient, and that is good.\nShort line {}\n\n", i, i);
  for (int i = 0; i < 2; ++i) text += "- A point of a list is # 1 of all...\n- A point of a list is # 1 of all...\n\n";
  return text;
}();

std::vector<Measure> measure(base::NamedGroup& step, const std::string& option, const std::string& value) {
  base::OptionSet set(*step.group);
  set.find(option)->set({value});  // whatever its range
  Document document;
  document.reset(kProbe, "probe", "");
  std::vector<Measure> measures;
  dynamic_cast<const Step&>(*step.group).apply(document, &measures);
  return measures;
}

bool fails_at(base::NamedGroup& step, const std::string& option, const Measure& probe) {
  const std::string name(probe.name);
  try {
    for (const Measure& m : measure(step, option, fmt::format("{:.17g}", probe.value)))
      if (m.name == name && m.threshold == m.value) return m.failed;
  } catch (const base::UsageError&) {  // a whole number is wanted, or the value is none that the option takes
  }
  return false;
}

Decision find_decision(base::NamedGroup& step, const std::string& option) {
  // Values that surely lie on both sides of the probe's.
  for (const auto& [low, high] :
       std::vector<std::pair<std::string, std::string>>{{"1e-9", "1e9"}, {"1", "1000000000"}}) {
    std::vector<Measure> at_low, at_high;
    try {
      at_low = measure(step, option, low);
      at_high = measure(step, option, high);
    } catch (const base::UsageError&) {
      continue;  // a whole number is wanted
    }
    for (const Measure& a : at_low)
      for (const Measure& b : at_high)
        if (a.name == b.name && a.threshold != b.threshold && a.failed != b.failed)
          return {std::string(a.name), a.failed, fails_at(step, option, a)};
  }
  throw base::UsageError({"no measured value depends on this option alone", "--sweep", step.label + "." + option,
                          "an option that is a threshold", "run again with another value to see what it does"});
}

}  // namespace

nlohmann::json run_sweep(const std::string& folder, const std::string& sweep, base::Context& context) {
  const std::size_t equals = sweep.find('='), dot = sweep.find('.');
  if (equals == sweep.npos || dot == sweep.npos || dot > equals)
    throw base::UsageError({"not a sweep", "--sweep", sweep, "STEP.OPTION=VALUE,VALUE,...", ""});
  const std::string label = sweep.substr(0, dot), option = sweep.substr(dot + 1, equals - dot - 1);
  std::vector<double> values;
  for (const std::string& value : base::split(sweep.substr(equals + 1), ',')) {
    char* end = nullptr;
    values.push_back(std::strtod(value.c_str(), &end));
    if (value.empty() || *end != '\0')
      throw base::UsageError({"not a number", "--sweep", value, "STEP.OPTION=VALUE,VALUE,...", ""});
  }

  RunOptions options;
  base::OptionSet set(options);
  const std::string file = (fs::path(folder) / "run.yaml").string();
  set.read_yaml(base::read_file(file), file);
  if (!options.keep_values) throw base::Error({"the run kept no values", folder, "", "a run with --keep-values", ""});
  const base::Option* known = set.find(label + "." + option);
  if (known == nullptr) {
    std::vector<std::string> names;
    for (const base::Option& other : set.options()) names.push_back(other.name);
    throw base::UsageError({"the run has no such option", "--sweep", label + "." + option,
                            "an option of one of its steps", base::suggest_option(label + "." + option, names)});
  }
  const std::vector<std::string> in_run = known->get();  // find_decision tries other values
  Decision decision;
  for (base::NamedGroup& step : options.steps) {
    if (step.label != label) continue;
    dynamic_cast<Step&>(*step.group).prepare();
    decision = find_decision(step, option);
  }
  const double current = std::strtod(in_run.at(0).c_str(), nullptr);  // a threshold: one number
  values.push_back(current);
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());

  // A record is kept when it fails nothing else, and not this at the new threshold. A rule can have exceptions
  // (line_punct_exclude_zero): where this run's decision is not what its threshold says, no other threshold changes it.
  const std::string name = label + "." + decision.measure;
  std::vector<std::uint64_t> kept(values.size()), bytes(values.size());
  std::uint64_t records = 0, exceptions = 0;
  base::JsonRecord record;
  base::RecordOptions as_written;
  as_written.folder_fields = false;
  for (const char* part : {"kept", "dropped"}) {
    std::vector<std::string> shards;
    for (const auto& entry : fs::directory_iterator(fs::path(folder) / part)) shards.push_back(entry.path().string());
    std::sort(shards.begin(), shards.end());
    base::for_each_record(shards, as_written, [&](std::string_view line, const base::Place&, const std::string&) {
      ++records;
      simdjson::dom::element hornbook;
      simdjson::dom::array fails;
      if (!record.parse(line).empty() || record.object().at_key("hornbook").get(hornbook)) return;
      if (hornbook["fails"].get(fails)) return;
      bool failed_now = false;
      for (simdjson::dom::element failed : fails) {
        if (failed.get_string().value() != name) return;
        failed_now = true;
      }
      double value = 0;
      const bool measured = !hornbook["values"].at_key(name).get(value);
      const bool exception = failed_now != (measured && decision.fails(value, current));
      exceptions += exception;
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (exception ? failed_now : measured && decision.fails(value, values[i])) continue;
        ++kept[i];
        bytes[i] += line.size();
      }
    });
  }
  nlohmann::json result = {{"sweep", label + "." + option},
                           {"measure", name},
                           {"fails", decision.fails_above ? "above" : "below"},
                           {"current", current},
                           {"records", records},
                           {"exceptions", exceptions},
                           {"values", nlohmann::json::array()}};
  if (!context.quiet)
    fmt::print(context.err, "{} (a document fails {} it), by the rules alone, of {} records:\n{:>14}{:>14}{:>9}\n",
               label + "." + option, decision.fails_above ? "above" : "below", base::human_count(records), "value",
               "kept", "share");
  for (std::size_t i = 0; i < values.size(); ++i) {
    result["values"].push_back({{"value", values[i]}, {"kept", kept[i]}});
    if (options.dropped == "full") result["values"].back()["kept_bytes"] = bytes[i];
    if (!context.quiet)
      fmt::print(context.err, "{:>14.6g}{:>14}{:>8.1f}%{}\n", values[i], base::human_count(kept[i]),
                 100 * static_cast<double>(kept[i]) / static_cast<double>(std::max<std::uint64_t>(1, records)),
                 values[i] == current ? "  <- this run" : "");
  }
  if (!context.quiet && exceptions > 0)
    fmt::print(context.err, "{} records are decided by an exception of the rule, whatever the threshold\n",
               base::human_count(exceptions));
  return result;
}

}  // namespace curate
