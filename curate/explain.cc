#include "curate/explain.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/records.h"
#include "base/text.h"
#include "base/unicode.h"
#include "curate/record.h"

namespace curate {
namespace fs = std::filesystem;
using nlohmann::json;

void ExplainOptions::visit(base::OptionVisitor& v) {
  pipeline.visit(v, false);
  v("run", run, "output folder of a run: its steps and input are used", base::PathKind::kPath);
  v("id", id, "id of the document");
  v("number", number, "without an id: which document of the input, from 1");
}

namespace {

// Calls f(record, place, file) for every readable record; f returns false to stop.
class Reader {
 public:
  Reader(const InputOptions& options, std::vector<std::string> files) : options_(options), files_(std::move(files)) {}
  template <class F>
  void each(F&& f) {
    base::BlockReader reader(files_, options_.records());
    std::vector<base::BadBytes> bad;
    RecordParser parser;
    bool going = true;
    while (going) {
      std::optional<base::Block> block = reader.next(bad);
      if (!block) break;
      if (fields_.text.empty()) fields_ = detect_fields(*block, options_.fields());
      base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
        Record record;
        if (!going || !parser.parse(line, 0, fields_, record).empty()) return;
        std::string id(record.id);
        if (id.empty()) id = fmt::format("{}:{}", fs::path(files_[place.file]).filename().string(), place.line);
        going = f(id, record, place, files_[place.file]);
      });
    }
  }

 private:
  const InputOptions& options_;
  std::vector<std::string> files_;
  FieldNames fields_;
};

struct Found {
  std::string id, text, source, where;
};

// What a finished run wrote about the document: its hornbook member, and the folder it lies in.
json outcome(const fs::path& run, const std::string& id, const Found& found) {
  for (const char* folder : {"dropped", "kept"}) {
    std::vector<std::string> shards;
    for (const auto& entry : fs::directory_iterator(run / folder)) shards.push_back(entry.path().string());
    std::sort(shards.begin(), shards.end());
    json result;
    base::for_each_record(shards, {}, [&](std::string_view line, const base::Place&, const std::string&) {
      if (!result.is_null() || line.find(json(id).dump()) == line.npos) return;
      json record = json::parse(line, nullptr, false);
      for (const auto& [key, value] : record.items())
        if (value.is_string() && value.get_ref<const std::string&>() == found.id)
          result = {{"folder", folder}, {"hornbook", record.value("hornbook", json::object())}};
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

// Pieces of `text`, lower-cased, that hold the runs of n words which `other` does not have.
std::vector<std::string> only_in(const std::string& text, const std::string& other, std::size_t n) {
  constexpr std::size_t kMost = 3, kExcerpt = 120;
  const std::string lowered[2] = {base::to_lower(text), base::to_lower(other)};
  std::vector<std::string_view> words[2];
  std::set<std::string> shingles;
  std::vector<std::string> result;
  std::size_t begin = 0, end = 0;  // the run of words in which every shingle is missing
  auto close = [&] {
    if (end == begin) return;
    const char* last = words[0][end - 1].data() + words[0][end - 1].size();
    result.push_back(base::shortened({words[0][begin].data(), last}, kExcerpt));
    begin = end = 0;
  };
  for (int which : {1, 0}) {
    std::size_t start = 0;
    bool inside = false;
    const std::string_view whole = lowered[which];
    for (std::size_t position = 0; position <= whole.size();) {
      const std::size_t at = position;
      const bool is_word = at < whole.size() && base::is_word_character(base::next_code_point(whole, position));
      if (is_word && !inside) start = at;
      if (!is_word && inside) words[which].push_back(whole.substr(start, at - start));
      inside = is_word;
      if (at == whole.size()) break;
    }
    const auto& all = words[which];
    const std::size_t size = std::min(n, all.size());
    for (std::size_t i = 0; size > 0 && i + size <= all.size() && result.size() < kMost; ++i) {
      std::string shingle;
      for (std::size_t j = i; j < i + size; ++j) shingle += std::string(all[j]) + ' ';
      if (which == 1) {
        shingles.insert(std::move(shingle));
      } else if (shingles.count(shingle) == 0) {
        if (end <= i) close(), begin = i;
        end = i + size;
      }
    }
  }
  close();
  if (result.size() > kMost) result.resize(kMost);
  return result;
}

json difference(const std::string& text, const std::string& other, std::size_t words) {
  return {{"only_here", only_in(text, other, words)}, {"only_there", only_in(other, text, words)}};
}

void print_difference(std::ostream& out, const json& difference) {
  for (const auto& [side, name] : {std::pair("only_here", "only here"), std::pair("only_there", "only there")})
    for (const json& piece : difference[side]) fmt::print(out, "      {}: \"{}\"\n", name, piece.get<std::string>());
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
  for (const base::NamedGroup& step : *steps) dynamic_cast<Step&>(*step.group).prepare();
  const std::vector<std::string> files = reading->files();
  Reader reader(*reading, files);
  std::optional<Found> found;
  std::uint64_t count = 0;
  reader.each([&](const std::string& id, const Record& record, const base::Place& place, const std::string& file) {
    ++count;
    if (options.id.empty() ? count != options.number : id != options.id) return true;
    found = Found{id, std::string(record.text), std::string(record.source), fmt::format("{}:{}", file, place.line)};
    return false;
  });
  if (!found)
    throw base::Error({"there is no such document", base::join(files, " "),
                       options.id.empty() ? std::to_string(options.number) : options.id,
                       options.id.empty() ? fmt::format("1 to {}", count) : "an id of the input", ""});

  json result = {{"id", found->id}, {"where", found->where}, {"steps", json::array()}};
  std::ostream& out = context.out;
  const bool plain = !context.json;
  if (plain) fmt::print(out, "{}  ({}, {} bytes)\n", found->id, found->where, base::human_count(found->text.size()));
  Document document;
  document.reset(found->text, found->id, found->source);
  std::string first_drop;
  for (const base::NamedGroup& entry : *steps) {
    json step = {{"step", entry.label}, {"measures", json::array()}};
    if (auto* deduplicate = dynamic_cast<Deduplicate*>(entry.group.get())) {
      // Every other document of the input as it came; the run compares what earlier steps left of it.
      Fingerprinter fingerprinter(*deduplicate);
      std::vector<std::uint64_t> own, other;
      fingerprinter.shingle_set(document.text(), own);
      std::vector<std::pair<double, std::string>> nearest;
      std::string nearest_text;
      double best = 0;
      reader.each([&](const std::string& id, const Record& record, const base::Place& place, const std::string& file) {
        if (fmt::format("{}:{}", file, place.line) == found->where) return true;
        double similarity = record.text == document.text() ? 1 : -1;
        if (similarity < 0) {
          fingerprinter.shingle_set(record.text, other);
          similarity = jaccard(own, other, 0.1);
        }
        if (similarity > 0) nearest.emplace_back(-similarity, id);
        if (similarity > best) best = similarity, nearest_text = record.text;
        return true;
      });
      std::sort(nearest.begin(), nearest.end());
      if (nearest.size() > 5) nearest.resize(5);
      step["nearest"] = json::array();
      if (plain) fmt::print(out, "\n{}\n", entry.label);
      for (const auto& [similarity, id] : nearest) {
        step["nearest"].push_back({{"id", id}, {"jaccard", -similarity}});
        if (plain)
          fmt::print(out, "  {:<34} {:>12.4f}  against {:.6g}{}\n", base::shortened(id, 34), -similarity,
                     deduplicate->threshold, -similarity >= deduplicate->threshold ? "  <- duplicate" : "");
      }
      if (plain && nearest.empty()) fmt::print(out, "  no other document of the input is similar\n");
      if (!nearest.empty()) {
        step["nearest"][0]["difference"] =
            difference(std::string(document.text()), nearest_text, static_cast<std::size_t>(deduplicate->words));
        if (plain) print_difference(out, step["nearest"][0]["difference"]);
      }
      result["steps"].push_back(step);
      continue;
    }
    std::vector<Measure> measures;
    const auto& rule = dynamic_cast<const Step&>(*entry.group);
    const std::string text_before(document.text());
    Document before;
    before.reset(text_before, found->id, found->source);
    Verdict verdict = rule.apply(document, &measures);
    if (plain) fmt::print(out, "\n{}\n", entry.label);
    for (const Measure& measure : measures) {
      step["measures"].push_back({{"name", measure.name},
                                  {"value", measure.value},
                                  {"threshold", measure.threshold},
                                  {"failed", measure.failed},
                                  {"evidence", evidence_of(rule, before, measure.name)}});
      if (plain)
        fmt::print(out, "  {:<34} {:>12.6g}  against {:.6g}{}\n", measure.name, measure.value, measure.threshold,
                   measure.failed ? "  <- fails" : "");
      if (plain && measure.failed) print_evidence(out, step["measures"].back()["evidence"]);
    }
    step["evidence"] = evidence_of(rule, before, "");
    if (plain) print_evidence(out, step["evidence"]);
    step["keep"] = verdict.keep;
    step["reason"] = verdict.reason;
    if (!verdict.keep && first_drop.empty()) first_drop = entry.label + ": " + std::string(verdict.reason);
    if (plain && measures.empty()) fmt::print(out, "  {}\n", verdict.keep ? "keeps it" : verdict.reason);
    result["steps"].push_back(step);
  }
  for (const auto& [name, value] : document.scores()) result["scores"][name] = value;
  for (const auto& [name, value] : document.labels()) result["labels"][name] = value;
  result["dropped_by"] = first_drop.empty() ? json() : json(first_drop);
  if (plain) fmt::print(out, "\n{}\n", first_drop.empty() ? "no rule drops it" : "dropped by " + first_drop);
  if (!options.run.empty()) {
    json told = outcome(options.run, found->id, *found);
    result["run"] = told;
    if (plain && !told.is_null())
      fmt::print(out, "in the run: {} {}\n", told["folder"].get<std::string>(), told["hornbook"].dump());
    if (!told.is_null() && told["hornbook"].contains("duplicate_of")) {
      const std::string of = told["hornbook"]["duplicate_of"];
      std::size_t words = 5;
      for (const base::NamedGroup& entry : *steps)
        if (const auto* deduplicate = dynamic_cast<const Deduplicate*>(entry.group.get()))
          words = static_cast<std::size_t>(deduplicate->words);
      std::optional<std::string> kept;
      reader.each([&](const std::string& id, const Record& record, const base::Place&, const std::string&) {
        if (id == of && record.text != found->text) kept = record.text;
        return !kept;
      });
      if (plain)
        fmt::print(out, "  the kept document is {}, Jaccard {:.4f}\n", of, told["hornbook"].value("jaccard", 0.0));
      if (kept) {
        result["run"]["difference"] = difference(found->text, *kept, words);
        if (plain) print_difference(out, result["run"]["difference"]);
      }
    }
  }
  if (context.json) out << result.dump(1, ' ', false, json::error_handler_t::replace) << "\n";
  return 0;
}

}  // namespace curate
