// `curate explain`: why one document is kept or dropped. Tested by tests/curate/commands_test.cc.
#include "curate/explain.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json_record.h"
#include "base/json_text.h"
#include "base/json_values.h"
#include "base/records.h"
#include "base/text.h"
#include "curate/records/field_reader.h"
#include "curate/records/record.h"

namespace curate {
namespace fs = std::filesystem;
using nlohmann::json;

void ExplainOptions::visit(base::OptionVisitor& v) {
  pipeline.visit(v, false);
  v("run", run, "output folder of a run: its steps and input are used", base::PathKind::kPath);
  v("id", id, "id of the document, or its place FILE:LINE (FILE:LINE#N of several in a line)");
  v("number", number, "without an id: which document of the input, from 1").at_least(1);
}

namespace {

// Calls f(id, record, where) for every readable record; `where` is FILE:LINE. f returns false to stop.
class Reader {
 public:
  Reader(const InputOptions& options, std::vector<std::string> files) : options_(options), files_(std::move(files)) {}
  template <class F>
  void each(F&& f) {
    FieldReader reader(files_, options_.records(), options_.fields());
    RecordParser parser;
    base::InputTally tally;
    bool going = true;
    while (going) {
      std::optional<DocumentBlock> documents = reader.next();
      if (!documents) break;
      auto use = [&](const Record& record, const base::Place& place) {
        if (!going) return;
        std::string id(record.id);
        if (id.empty()) id = made_id(reader.names()[place.file], place);
        going = f(id, record, files_[place.file] + ":" + base::line_text(place));
      };
      for_each_document(*documents, parser, tally, use, [](const auto&...) {});
    }
    fields_.clear();
    for (const auto& set : reader.sets()) fields_.push_back(set->names);
    losses_ = tally.losses(files_, going);
  }

  // Known once `each` has run:
  const std::vector<FieldNames>& fields() const { return fields_; }
  const std::vector<base::FileLoss>& losses() const { return losses_; }

 private:
  const InputOptions& options_;
  std::vector<std::string> files_;
  std::vector<FieldNames> fields_;
  std::vector<base::FileLoss> losses_;
};

struct Found {
  std::string id, text, source, where;
  bool repeated_keys = false;
  std::vector<std::string> also;  // where other records are that the same name means: the first ones
  std::uint64_t others = 0;       // how many there are
};

// What a finished run wrote about the document: its hornbook member, and the folder it lies in. Null: nothing.
json outcome(const fs::path& run, const std::string& id, const std::vector<FieldNames>& fields) {
  base::JsonRecord record;
  std::string scratch;
  for (const char* folder : {"dropped", "kept"}) {
    std::vector<std::string> shards;
    for (const auto& entry : fs::directory_iterator(run / folder)) shards.push_back(entry.path().string());
    std::sort(shards.begin(), shards.end());
    json result;
    base::for_each_record(shards, {}, [&](std::string_view line, const base::Place&, const std::string&) {
      if (!result.is_null() || !record.parse(line).empty()) return;
      const bool is_it = std::any_of(fields.begin(), fields.end(), [&](const FieldNames& names) {
        return record.scalar(names.id.empty() ? "id" : names.id, scratch) == id;
      });
      if (!is_it) return;
      const std::string_view hornbook = base::find_member(record.strict_line(), "hornbook");
      result = {{"folder", folder}, {"hornbook", hornbook.empty() ? json::object() : json::parse(hornbook)}};
    });
    if (!result.is_null()) return result;
  }
  return {};
}

// The evidence for one measure as JSON: what, how often, how long, and where: line and an excerpt.
json evidence_of(const Step& step, Document& document, std::string_view measure) {
  constexpr std::size_t kMost = 10, kExcerpt = 120;
  const std::string_view text = document.text();
  json list = json::array();
  for (const Evidence& one : step.evidence(document, measure)) {
    if (list.size() == kMost) break;
    json entry = {{"what", one.what}, {"times", one.times}};
    if (one.characters > 0) entry["characters"] = one.characters;
    if (!one.span.empty()) entry["text"] = base::shortened(one.span, kExcerpt);
    if (!one.span.empty() && std::less_equal<>()(text.data(), one.span.data()) &&
        std::less<>()(one.span.data(), text.data() + text.size()))
      entry["line"] = 1 + std::count(text.begin(), text.begin() + (one.span.data() - text.data()), '\n');
    list.push_back(std::move(entry));
  }
  return list;
}

void print_evidence(std::ostream& out, const json& list) {
  constexpr std::size_t kMost = 3;
  for (std::size_t i = 0; i < std::min(kMost, list.size()); ++i) {
    const json& one = list[i];
    out << "      ";
    if (one.contains("line")) fmt::print(out, "line {}: ", one["line"].get<std::uint64_t>());
    if (one.contains("text")) fmt::print(out, "\"{}\" - ", one["text"].get<std::string>());
    out << one["what"].get<std::string>();
    if (one["times"] != 1) fmt::print(out, ", {} times", base::human_count(one["times"].get<std::uint64_t>()));
    if (one.contains("characters")) fmt::print(out, ", {} characters", one["characters"].get<std::uint64_t>());
    out << "\n";
  }
  if (list.size() > kMost) out << "      and more\n";
}

// What one text has and the other has not, in the words that shingles are made of.
json difference(const std::string& text, const std::string& other, const Deduplicate& options) {
  constexpr std::size_t kMost = 3, kExcerpt = 120;
  Fingerprinter fingerprinter(options);
  const ShingledText here = fingerprinter.shingled(text), there = fingerprinter.shingled(other);
  json result = {{"only_here", json::array()}, {"only_there", json::array()}};
  for (std::string_view piece : only_in(here, there, kMost))
    result["only_here"].push_back(base::shortened(piece, kExcerpt));
  for (std::string_view piece : only_in(there, here, kMost))
    result["only_there"].push_back(base::shortened(piece, kExcerpt));
  return result;
}

void print_difference(std::ostream& out, const json& difference) {
  for (const auto& [side, name] : {std::pair("only_here", "only here"), std::pair("only_there", "only there")})
    for (const json& piece : difference[side]) fmt::print(out, "      {}: \"{}\"\n", name, piece.get<std::string>());
}

// What a rule says about the document, which it may edit.
json explain_rule(const std::string& label, const Step& rule, Document& document) {
  const std::string text_before(document.text());
  Document before;
  before.reset(text_before, document.id(), document.source());
  std::vector<Measure> measures;
  const Verdict verdict = rule.apply(document, &measures);
  json step = {{"step", label}, {"measures", json::array()}, {"keep", verdict.keep}, {"reason", verdict.reason}};
  for (const Measure& measure : measures)
    step["measures"].push_back({{"name", measure.name},
                                {"value", measure.value},
                                {"threshold", measure.threshold},
                                {"failed", measure.failed},
                                {"limit", measure.limit == Limit::kMax   ? json("max")
                                          : measure.limit == Limit::kMin ? json("min")
                                                                         : json()},
                                {"evidence", evidence_of(rule, before, measure.name)}});
  step["evidence"] = evidence_of(rule, before, "");
  return step;
}

void print_rule(std::ostream& out, const json& step) {
  for (const json& measure : step["measures"]) {
    const bool failed = measure["failed"];
    const std::string sides = compared(measure["value"], measure["threshold"]);
    const std::size_t value = sides.find(' ');  // the values stand below each other
    fmt::print(out, "  {:<34} {:>12}{}{}{}\n", measure["name"].get<std::string>(), sides.substr(0, value),
               sides.substr(value),
               measure["limit"].is_null() ? "" : fmt::format(" ({})", measure["limit"].get<std::string>()),
               failed ? "  <- fails" : "");
    if (failed) print_evidence(out, measure["evidence"]);
  }
  print_evidence(out, step["evidence"]);
  if (step["measures"].empty())
    fmt::print(out, "  {}\n", step["keep"].get<bool>() ? "keeps it" : step["reason"].get<std::string>());
}

// The documents of the input that are most similar to this one. They are compared as they came; a run compares what
// earlier steps left of them.
json explain_duplicates(const std::string& label, const Deduplicate& options, std::string_view text,
                        const std::string& where, Reader& reader) {
  constexpr std::size_t kMost = 5;
  struct Similar {
    double jaccard;
    std::string id, text;
  };
  std::vector<Similar> nearest;  // the most similar first, of equal ones the smallest id
  Fingerprinter fingerprinter(options);
  std::vector<std::uint64_t> own, other;
  fingerprinter.shingle_set(text, own);
  reader.each([&](const std::string& id, const Record& record, const std::string& place) {
    if (place == where) return true;
    double similarity = record.text == text ? 1 : -1;
    if (similarity < 0) {
      fingerprinter.shingle_set(record.text, other);
      similarity = jaccard(own, other, 0.1);
    }
    if (similarity <= 0) return true;
    auto behind = std::find_if(nearest.begin(), nearest.end(), [&](const Similar& one) {
      return std::pair(-one.jaccard, std::string_view(one.id)) > std::pair(-similarity, std::string_view(id));
    });
    nearest.insert(behind, {similarity, id, std::string(record.text)});
    if (nearest.size() > kMost) nearest.pop_back();
    return true;
  });
  json step = {
      {"step", label}, {"measures", json::array()}, {"threshold", options.threshold}, {"nearest", json::array()}};
  for (const Similar& one : nearest) step["nearest"].push_back({{"id", one.id}, {"jaccard", one.jaccard}});
  if (!nearest.empty()) step["nearest"][0]["difference"] = difference(std::string(text), nearest.front().text, options);
  return step;
}

void print_duplicates(std::ostream& out, const json& step) {
  const double threshold = step["threshold"];
  for (const json& one : step["nearest"]) {
    const double jaccard = one["jaccard"];
    fmt::print(out, "  {:<34} {:>12.4f} {} {:.6g} (min){}\n", base::shortened(one["id"].get<std::string>(), 34),
               jaccard, jaccard >= threshold ? ">=" : "<", threshold, jaccard >= threshold ? "  <- duplicate" : "");
  }
  if (step["nearest"].empty()) {
    fmt::print(out, "  no other document of the input is similar\n");
  } else {
    print_difference(out, step["nearest"][0]["difference"]);
  }
}

// What the run did with the document and, if it dropped it for another one, what the two differ in.
json explain_run(const std::string& run, const Found& found, const std::vector<base::NamedGroup>& steps,
                 Reader& reader) {
  json told = outcome(run, found.id, reader.fields());
  if (told.is_null() || !told["hornbook"].contains("duplicate_of")) return told;
  const std::string of = told["hornbook"]["duplicate_of"];
  std::optional<std::string> kept;
  reader.each([&](const std::string& id, const Record& record, const std::string&) {
    if (id == of && record.text != found.text) kept = record.text;
    return !kept;
  });
  if (!kept) return told;
  Deduplicate options;
  for (const base::NamedGroup& entry : steps)
    if (const auto* deduplicate = dynamic_cast<const Deduplicate*>(entry.group.get());
        deduplicate != nullptr && entry.label == told["hornbook"]["step"])
      options = *deduplicate;
  told["difference"] = difference(found.text, *kept, options);
  return told;
}

void print_run(std::ostream& out, const json& told) {
  if (told.is_null()) return;
  const json& hornbook = told["hornbook"];
  fmt::print(out, "in the run: {} {}\n", told["folder"].get<std::string>(), base::json_dump(hornbook));
  if (!hornbook.contains("duplicate_of")) return;
  fmt::print(out, "  the kept document is {}, Jaccard {:.4f}\n", hornbook["duplicate_of"].get<std::string>(),
             hornbook.value("jaccard", 0.0));
  if (told.contains("difference")) print_difference(out, told["difference"]);
}

void print_all(std::ostream& out, const json& result, std::size_t bytes) {
  fmt::print(out, "{}  ({}, {} bytes)\n", result["id"].get<std::string>(), result["where"].get<std::string>(),
             base::human_count(bytes));
  if (result.contains("also"))
    fmt::print(out, "the same name means {} more: {}; --id FILE:LINE names one\n",
               base::human_count(result["also"]["records"].get<std::uint64_t>()),
               base::join(result["also"]["where"].get<std::vector<std::string>>(), ", "));
  for (const json& step : result["steps"]) {
    fmt::print(out, "\n{}\n", step["step"].get<std::string>());
    if (step.contains("nearest")) {
      print_duplicates(out, step);
    } else {
      print_rule(out, step);
    }
  }
  const json& dropped_by = result["dropped_by"];
  fmt::print(out, "\n{}\n", dropped_by.is_null() ? "no rule drops it" : "dropped by " + dropped_by.get<std::string>());
  if (result.contains("run")) print_run(out, result["run"]);
}

// The document that the options name: by its id, or by its place FILE:LINE.
Found find_document(const ExplainOptions& options, const std::vector<std::string>& files, Reader& reader) {
  constexpr std::uint64_t kMostNamed = 10;
  std::optional<Found> found;
  std::uint64_t count = 0;
  reader.each([&](const std::string& id, const Record& record, const std::string& where) {
    ++count;
    const bool is_it = options.id.empty()
                           ? count == options.number
                           : id == options.id || where == options.id || where.ends_with("/" + options.id);
    if (is_it && !found) {
      found = Found{id, std::string(record.text), std::string(record.source), where, record.repeated_keys, {}, 0};
    } else if (is_it && ++found->others <= kMostNamed) {
      found->also.push_back(where);
    }
    return !found || !options.id.empty();  // an id may name several
  });
  if (!found)
    throw base::Error({"there is no such document", base::join(files, " "),
                       options.id.empty() ? std::to_string(options.number) : options.id,
                       options.id.empty() ? fmt::format("1 to {}", count) : "an id of the input",
                       reader.losses().empty() ? "" : reader.losses()[0].file + ": " + reader.losses()[0].cause});
  return *found;
}

}  // namespace

int run_explain(ExplainOptions& options, base::Context& context) {
  RunOptions from_run;
  InputOptions* reading = &options.pipeline.reading;
  std::vector<base::NamedGroup>* steps = &options.pipeline.steps;
  if (options.run.empty() && fs::exists(fs::path(options.pipeline.output) / "report.json"))
    options.run = options.pipeline.output;
  if (!options.run.empty()) {
    base::OptionSet set(from_run);
    const std::string file = (fs::path(options.run) / "run.yaml").string();
    set.read_yaml(base::read_file(file), file);
    if (reading->input.empty()) reading = &from_run.reading;
    if (steps->empty()) steps = &from_run.steps;
  }
  if (steps->empty())
    throw base::UsageError({"there are no steps to explain", "steps", "", "--run DIR, --config FILE or --preset", ""});
  prepare_steps(*steps, context);
  const std::vector<std::string> files = reading->files(context);
  Reader reader(*reading, files);
  const Found found = find_document(options, files, reader);
  if (found.repeated_keys && !context.quiet) fmt::print(context.err, "{}\n", base::repeated_keys_note(1));
  Document document;
  document.reset(found.text, found.id, found.source);
  json result = {{"id", found.id}, {"where", found.where}, {"steps", json::array()}, {"dropped_by", nullptr}};
  if (found.others > 0) result["also"] = {{"records", found.others}, {"where", found.also}};
  for (const base::NamedGroup& entry : *steps) {
    if (const auto* deduplicate = dynamic_cast<const Deduplicate*>(entry.group.get())) {
      result["steps"].push_back(explain_duplicates(entry.label, *deduplicate, document.text(), found.where, reader));
      continue;
    }
    json step = explain_rule(entry.label, dynamic_cast<const Step&>(*entry.group), document);
    if (!step["keep"].get<bool>() && result["dropped_by"].is_null())
      result["dropped_by"] = entry.label + ": " + step["reason"].get<std::string>();
    result["steps"].push_back(std::move(step));
  }
  for (const auto& [name, value] : document.scores()) result["scores"][name] = value;
  for (const auto& [name, value] : document.labels()) result["labels"][name] = value;
  if (!options.run.empty()) result["run"] = explain_run(options.run, found, *steps, reader);
  if (context.json) {
    context.out << base::json_dump(result, 1) << "\n";
  } else {
    print_all(context.out, result, found.text.size());
  }
  return 0;
}

}  // namespace curate
