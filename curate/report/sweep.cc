// `curate report DIR --sweep STEP.OPTION=A,B,C`: what another threshold would have done. Tested by
// tests/curate/report/sweep_test.cc.
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

// How one option decides about one measure.
struct Decision : Threshold {
  bool fails(double value, double threshold) const {
    return value == threshold ? fails_at : limit == Limit::kMax ? value > threshold : value < threshold;
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

// About all measures that it is the threshold of.
std::vector<Decision> find_decisions(base::NamedGroup& step, const std::string& option) {
  Step& own = dynamic_cast<Step&>(*step.group);
  if (const auto known = own.threshold_of(option)) return {Decision{*known}};
  own.prepare();
  std::vector<Decision> found;
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
          found.push_back({{std::string(a.name), a.failed ? Limit::kMax : Limit::kMin, fails_at(step, option, a)}});
    if (!found.empty()) return found;
  }
  throw base::UsageError({"no measured value depends on this option alone", "--sweep", step.label + "." + option,
                          "an option that is a threshold", "run again with another value to see what it does"});
}

// Does this value switch the rule off, so that nothing is measured? (0 of most rules.)
bool is_off(base::NamedGroup& step, const std::string& option, const std::string& value, const Decision& decision) {
  if (dynamic_cast<const Step&>(*step.group).threshold_of(option)) return false;
  return std::ranges::none_of(measure(step, option, value),
                              [&](const Measure& one) { return one.name == decision.measure; });
}

// "STEP.OPTION=VALUE,VALUE,..."
struct Sweep {
  std::string label, option;
  std::vector<std::string> values;
  std::string name() const { return label + "." + option; }
};

Sweep parse_sweep(const std::string& text) {
  const char* form = "STEP.OPTION=VALUE,VALUE,...";
  const std::size_t equals = text.find('='), dot = text.find('.');
  if (equals == text.npos || dot == text.npos || dot > equals)
    throw base::UsageError({"not a sweep", "--sweep", text, form, ""});
  Sweep sweep{text.substr(0, dot), text.substr(dot + 1, equals - dot - 1), {}};
  for (const std::string& value : base::split(text.substr(equals + 1), ','))
    sweep.values.emplace_back(base::trim(value));
  return sweep;
}

// The options of the run; throws when it kept no values.
void read_options(const std::string& folder, base::OptionSet& set, const RunOptions& options) {
  const std::string file = (fs::path(folder) / "run.yaml").string();
  set.read_yaml(base::read_file(file), file);
  if (!options.keep_values) throw base::Error({"the run kept no values", folder, "", "a run with --keep-values", ""});
}

const base::Option& option_of(const base::OptionSet& set, const std::string& name) {
  if (const base::Option* known = set.find(name)) return *known;
  std::vector<std::string> names;
  for (const base::Option& other : set.options()) names.push_back(other.name);
  throw base::UsageError({"the run has no such option", "--sweep", name, "an option of one of its steps",
                          base::suggest_option(name, names)});
}

// What each value would keep.
struct Swept {
  std::vector<std::uint64_t> kept, bytes;  // one a value
  std::uint64_t records = 0, exceptions = 0;
};

// One value of the option.
struct Point {
  double value = 0;
  bool off = false;
};

// The option's measures, as records have them, its value in the run, and all values.
struct Thresholds {
  std::vector<std::pair<std::string, Decision>> measures;
  double current = 0;
  std::vector<Point> points;
};

// A record is kept when it fails nothing else, and none of these at the new threshold. A rule can have exceptions
// (line_punct_exclude_zero): where this run's decision is not what its threshold says, no other threshold changes it,
// but for one that switches the rule off.
void count_record(const base::JsonRecord& record, std::size_t size, const Thresholds& at, Swept& swept) {
  simdjson::dom::element hornbook;
  simdjson::dom::array fails;
  if (record.object().at_key("hornbook").get(hornbook) || hornbook["fails"].get(fails)) return;
  bool failed_now = false;
  for (simdjson::dom::element failed : fails) {
    const std::string_view name = failed.get_string().value();
    if (std::ranges::none_of(at.measures, [&](const auto& one) { return one.first == name; })) return;
    failed_now = true;
  }
  const auto fails_with = [&](double threshold) {
    return std::ranges::any_of(at.measures, [&](const auto& one) {
      double value = 0;
      return !hornbook["values"].at_key(one.first).get(value) && one.second.fails(value, threshold);
    });
  };
  const bool exception = failed_now != fails_with(at.current);
  swept.exceptions += exception;
  for (std::size_t i = 0; i < at.points.size(); ++i) {
    if (!at.points[i].off && (exception ? failed_now : fails_with(at.points[i].value))) continue;
    ++swept.kept[i];
    swept.bytes[i] += size;
  }
}

Swept count_records(const std::string& folder, const Thresholds& at) {
  Swept swept{std::vector<std::uint64_t>(at.points.size()), std::vector<std::uint64_t>(at.points.size())};
  base::JsonRecord record;
  for (const char* part : {"kept", "dropped"}) {
    std::vector<std::string> shards;
    for (const auto& entry : fs::directory_iterator(fs::path(folder) / part)) shards.push_back(entry.path().string());
    std::sort(shards.begin(), shards.end());
    base::for_each_record(shards, {}, [&](std::string_view line, const base::Place&, const std::string&) {
      ++swept.records;
      if (record.parse(line).empty()) count_record(record, line.size(), at, swept);
    });
  }
  return swept;
}

bool fails_above(const Thresholds& at) { return at.measures.front().second.limit == Limit::kMax; }

void print(std::ostream& out, const std::string& option, const Thresholds& at, const Swept& swept) {
  fmt::print(out, "{} (a document fails {} it), by the rules alone, of {} records:\n{:>14}{:>14}{:>9}\n", option,
             fails_above(at) ? "above" : "below", base::human_count(swept.records), "value", "kept", "share");
  const auto all = static_cast<double>(std::max<std::uint64_t>(1, swept.records));
  for (std::size_t i = 0; i < at.points.size(); ++i)
    fmt::print(out, "{:>14.6g}{:>14}{:>8.1f}%{}{}\n", at.points[i].value, base::human_count(swept.kept[i]),
               100 * static_cast<double>(swept.kept[i]) / all, at.points[i].off ? "  (off)" : "",
               at.points[i].value == at.current ? "  <- this run" : "");
  if (swept.exceptions > 0)
    fmt::print(out, "{} records are decided by an exception of the rule, whatever the threshold\n",
               base::human_count(swept.exceptions));
}

// What the sweep asks for, checked against the options of the run.
Thresholds find_thresholds(base::NamedGroup& step, const Sweep& sweep, const base::Option& option) {
  const std::vector<std::string> in_run = option.get();  // find_decisions tries other values
  const std::vector<Decision> decisions = find_decisions(step, sweep.option);
  const std::string& current = in_run.at(0);  // a threshold: one number
  Thresholds at;
  for (const Decision& decision : decisions) at.measures.emplace_back(sweep.label + "." + decision.measure, decision);
  if (is_off(step, sweep.option, current, decisions.front()))
    throw base::UsageError({"the run has switched this rule off, so it measured nothing", "--sweep", sweep.name(),
                            "an option that was on", "run again with a value of it, and --keep-values"});
  std::vector<std::string> values = sweep.values;
  values.push_back(current);
  for (const std::string& value : values) {
    base::Option checked = option;
    checked.assign({value}, "--sweep " + sweep.name());
    at.points.push_back({std::strtod(value.c_str(), nullptr), is_off(step, sweep.option, value, decisions.front())});
  }
  at.current = at.points.back().value;
  std::ranges::sort(at.points, {}, &Point::value);
  const auto repeated = std::ranges::unique(at.points, {}, &Point::value);
  at.points.erase(repeated.begin(), repeated.end());
  return at;
}

}  // namespace

nlohmann::json run_sweep(const std::string& folder, const std::string& text, base::Context& context) {
  const Sweep sweep = parse_sweep(text);
  RunOptions options;
  base::OptionSet set(options);
  read_options(folder, set, options);
  const base::Option& option = option_of(set, sweep.name());
  const auto step = std::ranges::find(options.steps, sweep.label, &base::NamedGroup::label);
  if (step == options.steps.end())
    throw base::UsageError({"not an option of a step", "--sweep", sweep.name(), "STEP.OPTION", ""});
  const Thresholds at = find_thresholds(*step, sweep, option);

  const Swept swept = count_records(folder, at);
  std::vector<std::string> names;
  for (const auto& [name, decision] : at.measures) names.push_back(name);
  nlohmann::json result = {{"sweep", sweep.name()},
                           {"measure", base::join(names, ", ")},
                           {"fails", fails_above(at) ? "above" : "below"},
                           {"current", at.current},
                           {"records", swept.records},
                           {"exceptions", swept.exceptions},
                           {"values", nlohmann::json::array()}};
  for (std::size_t i = 0; i < at.points.size(); ++i) {
    result["values"].push_back({{"value", at.points[i].value}, {"off", at.points[i].off}, {"kept", swept.kept[i]}});
    if (options.dropped == "full") result["values"].back()["kept_bytes"] = swept.bytes[i];
  }
  if (!context.quiet) print(context.err, sweep.name(), at, swept);
  return result;
}

}  // namespace curate
