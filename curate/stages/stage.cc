// One stage of a run, block by block: records in; kept, dropped, quarantined or spilled ones out. Tested by
// tests/curate/run_test.cc.
#include "curate/stages/stage.h"

#include <fmt/format.h>
#include <time.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/json_text.h"
#include "base/stream.h"
#include "base/text.h"
#include "curate/dedup/preference.h"
#include "curate/records/quarantine.h"
#include "curate/stages/near_misses.h"

namespace curate {
namespace {

double seconds_of(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}
double now() { return seconds_of(CLOCK_MONOTONIC); }

// What a step costs is told in processor time, which does not depend on what else the machine does. Asking for that is
// slow, so it is asked once for a block, and shared out as the seconds on the wall were.
class BlockClock {
 public:
  // Turns the seconds that the block's statistics hold into processor time.
  void settle(Statistics& statistics) const {
    const double wall = now() - wall_;
    if (wall <= 0) return;
    const double share = (seconds_of(CLOCK_THREAD_CPUTIME_ID) - processor_) / wall;
    statistics.parse_seconds *= share;
    statistics.write_seconds *= share;
    for (auto& [label, counts] : statistics.steps) counts.seconds *= share;
  }

 private:
  double wall_ = now(), processor_ = seconds_of(CLOCK_THREAD_CPUTIME_ID);
};

constexpr std::size_t kPackBytes = 8 << 20;
constexpr int kQuickLevel = 1;  // zstd level of what is not kept

// Compresses what has gathered in the piece.
void pack(Piece& piece, int level) {
  if (piece.bytes.empty()) return;
  piece.raw += piece.bytes.size();
  piece.packed += base::zstd_compress(piece.bytes, level);
  piece.bytes.clear();
}

// A record whose document is set up for the rules.
struct Sighting {
  std::string_view line, original, date;  // original: the text before any edit of this stage
  bool again = false;                     // an earlier stage has seen it
};

// What the rules say, and the one that stopped the document, if any.
struct Decision {
  Verdict verdict;
  const Rule* stopped = nullptr;
};

// A record that goes, and why.
struct Dropped {
  std::string_view line;
  DocumentView document;
  std::string label, reason;  // of the step
  std::string details;        // members that say why
  std::string note;           // the same for the sample
};

// After a record of this size, a thread's buffers are made anew.
constexpr std::size_t kHuge = 32 << 20;

}  // namespace

std::string_view spilled_text(const SpillReader::Buffer& buffer, const SpillEntry& entry,
                              const std::vector<FieldNames>& fields, RecordParser& parser) {
  if (entry.edited) return entry.text;
  Record record;
  std::string error = parser.parse(entry.record, buffer.readable_after(entry.record), fields.at(entry.fields), record);
  if (!error.empty()) throw base::Error("the intermediate file is damaged: " + error);
  return record.text;
}

struct StageWorker::State {
  explicit State(const StageSetup& s) : setup(s), parser(s.nan_is_null) {
    document.note_passed_measures(&passed);
    if (s.plan.deduplicate != nullptr) fingerprinter.emplace(*s.plan.deduplicate);
  }
  const StageSetup& setup;
  RecordParser parser;
  Document document;
  std::optional<Fingerprinter> fingerprinter;
  std::string members, spill_bytes, values, fails;
  std::vector<Measure> measures, passed;  // passed: by all rules so far, one rule behind another
  std::vector<std::size_t> passed_ends;   // one a rule
  NearMisses near_misses;
  FieldSet fields;  // of the record that is worked on
  SpillReader::Buffer buffer, other_buffer;
  bool huge = false;  // a record has grown the buffers beyond what is kept for the next block

  void judge(const Sighting& seen, BlockResult& result);
  Decision run_rules(std::string_view original, Statistics& statistics);
  void count_scores(std::size_t first, Statistics& statistics) const;
  std::string count_language(std::size_t first, Statistics& statistics) const;
  void describe_scores();
  void drop_judged(const Sighting& seen, const Decision& decision, BlockResult& result);
  void spill(const Sighting& seen, const std::string_view* new_text, BlockResult& result);
  void drop(const Dropped& dropped, BlockResult& result);
  void drop_duplicate(const SpillEntry& entry, std::string_view text, const Duplicate& duplicate, BlockResult& result);
  void keep_spilled(const SpillEntry& entry, std::string_view text, BlockResult& result);
  void count_kept(const DocumentView& document, BlockResult& result);
  void restore(const SpillEntry& entry);
  void note_values(const Rule& rule, const Verdict& verdict);
  void finish(BlockResult& result);
};

StageWorker::StageWorker(const StageSetup& setup) : state_(std::make_unique<State>(setup)) {}
StageWorker::~StageWorker() = default;

void StageWorker::State::drop(const Dropped& dropped, BlockResult& result) {
  const auto& [line, document, label, reason, details, note] = dropped;
  std::string all = "\"step\":";
  base::append_json_string(all, label);
  all += ",\"reason\":";
  base::append_json_string(all, reason);
  all += details;
  if (!members.empty()) all += "," + members;
  std::string only_reasons;
  if (setup.only_reasons) {
    const auto member = [&](const std::string& field, const char* usual, std::string_view value) {
      only_reasons += only_reasons.empty() ? '{' : ',';
      base::append_json_string(only_reasons, field.empty() ? usual : field);
      only_reasons += ':';
      base::append_json_string(only_reasons, value);
    };
    member(fields.names.id, "id", document.id);
    member(fields.names.source, "source", document.source);
    only_reasons += '}';
  }
  append_record(result.dropped.bytes, setup.only_reasons ? only_reasons : line, fields.names.text, nullptr, all);
  ++result.dropped.records;
  Statistics& statistics = result.statistics;
  statistics.dropped.add(document.text.size());
  StepCounts& counts = statistics.steps[label];
  counts.dropped.add(document.text.size());
  ++counts.reasons[reason];
  ++statistics.sources[std::string(document.source)].dropped[label];
  Statistics::add_sample(statistics.samples, label + ": " + reason, document, note);
}

void StageWorker::State::count_kept(const DocumentView& document, BlockResult& result) {
  Statistics& statistics = result.statistics;
  const std::size_t bytes = document.text.size();
  ++result.kept.records;
  statistics.kept.add(bytes);
  statistics.sources[std::string(document.source)].kept.add(bytes);
  ++statistics.lengths_kept[static_cast<std::size_t>(power_bin(bytes))];
  Statistics::add_sample(statistics.samples, "kept", document, "");
}

// Moves `measures` into what --keep-values writes: "STEP.MEASURE": value, and the names of those that fail.
void StageWorker::State::note_values(const Rule& rule, const Verdict& verdict) {
  auto name = [&](std::string& out, std::string_view measure) {
    if (!out.empty()) out += ',';
    base::append_json_string(out, rule.label + "." + std::string(measure));
  };
  if (!verdict.keep && measures.empty()) measures.push_back({verdict.reason, verdict.value, verdict.threshold, true});
  for (const Measure& measure : measures) {
    name(values, measure.name);
    values += ':';
    append_json_number(values, measure.value);
    if (measure.failed) name(fails, measure.name);
  }
  measures.clear();
}

// Runs the rules over the document that is set up in `document`, and puts its record where it belongs.
void StageWorker::State::judge(const Sighting& seen, BlockResult& result) {
  Statistics& statistics = result.statistics;
  const std::size_t scores_before = seen.again ? document.scores().size() : 0;
  const std::size_t labels_before = seen.again ? document.labels().size() : 0;
  const Decision decision = run_rules(seen.original, statistics);
  count_scores(scores_before, statistics);
  const std::string language = count_language(labels_before, statistics);
  describe_scores();
  if (decision.stopped != nullptr) return drop_judged(seen, decision, result);
  near_misses.add(setup.plan.rules, passed, passed_ends, document, seen.original, statistics.near_misses);
  const bool edited = document.text() != seen.original;
  const std::string_view new_text = edited ? document.text() : std::string_view{};
  if (!setup.last) return spill(seen, edited ? &new_text : nullptr, result);
  append_record(result.kept.bytes, seen.line, fields.names.text, edited ? &new_text : nullptr, members);
  if (!language.empty()) ++statistics.languages[language].second;
  count_kept({document.id(), document.source(), document.text()}, result);
}

Decision StageWorker::State::run_rules(std::string_view original, Statistics& statistics) {
  passed.clear();
  passed_ends.clear();
  Decision decision;
  double start = now();
  for (const Rule& rule : setup.plan.rules) {
    if (decision.stopped != nullptr) {  // all values are wanted
      note_values(rule, rule.step->apply(document, &measures));
      continue;
    }
    StepCounts& counts = statistics.steps[rule.label];
    counts.seen.add(document.text().size());
    const char* const before = document.text().data();
    decision.verdict = rule.step->apply(document, setup.keep_values ? &measures : nullptr);
    // A second edit has freed the text it read; then a new address must do.
    if (document.text().data() != before && (before != original.data() || document.text() != original))
      counts.edited.add(document.text().size());
    passed_ends.push_back(passed.size());
    if (setup.keep_values) note_values(rule, decision.verdict);
    const double end = now();
    counts.seconds += end - start;
    start = end;
    if (!decision.verdict.keep) {
      decision.stopped = &rule;
      if (!setup.keep_values) break;
    }
  }
  return decision;
}

// Those from the `first` on are of this stage.
void StageWorker::State::count_scores(std::size_t first, Statistics& statistics) const {
  for (std::size_t i = first; i < document.scores().size(); ++i) {
    const auto& [name, value] = document.scores()[i];
    if (document.is_count(name)) {
      ++statistics.counts[name][static_cast<std::size_t>(power_bin(static_cast<std::uint64_t>(value)))];
    } else {
      statistics.scores[name].add(value);
    }
  }
}

// The document's language, counted where it is among the labels from the `first` on.
std::string StageWorker::State::count_language(std::size_t first, Statistics& statistics) const {
  std::string language;
  for (std::size_t i = 0; i < document.labels().size(); ++i) {
    const auto& [name, value] = document.labels()[i];
    if (name != "language") continue;
    language = value;
    if (i >= first) ++statistics.languages[language].first;
  }
  return language;
}

void StageWorker::State::describe_scores() {
  members.clear();
  append_scores(members, document.scores(), document.labels());
  if (!setup.keep_values) return;
  if (!members.empty()) members += ',';
  members += "\"values\":{" + values + "},\"fails\":[" + fails + "]";
}

void StageWorker::State::drop_judged(const Sighting& seen, const Decision& decision, BlockResult& result) {
  const Verdict& verdict = decision.verdict;
  const std::string reason(verdict.reason);
  std::string details;
  if (!setup.keep_values) {
    details = ",\"values\":{";
    base::append_json_string(details, reason);
    details += ':';
    append_json_number(details, verdict.value);
    details += '}';
  }
  details += ",\"threshold\":";
  append_json_number(details, verdict.threshold);
  drop({seen.line,
        {document.id(), document.source(), seen.original},
        decision.stopped->label,
        reason,
        details,
        compared(verdict.value, verdict.threshold)},
       result);
}

// Leaves the document and its fingerprint to the next stage.
void StageWorker::State::spill(const Sighting& seen, const std::string_view* new_text, BlockResult& result) {
  const double start = now();
  const Deduplicate& deduplicate = *setup.plan.deduplicate;
  Fingerprint print = fingerprinter->fingerprint(document.text(), document.id());
  double score = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [name, value] : document.scores())
    if (name == deduplicate.score) score = value;
  if (deduplicate.keep == "best_score" && std::isnan(score)) score = carried_score(seen.line, deduplicate.score);
  const Preference preference =
      preference_of(deduplicate, {document.code_points(), score, seen.date, document.source()});
  print.preference = preference.rank;
  result.statistics.unranked[setup.plan.label].count(preference, document.id());
  const bool edited = new_text != nullptr;
  print.place = append_entry(spill_bytes, {seen.line, document.id(), document.source(), members,
                                           edited ? *new_text : std::string_view{}, edited, fields.number});
  result.prints.push_back(print);
  StepCounts& counts = result.statistics.steps[setup.plan.label];
  counts.seen.add(document.text().size());
  counts.seconds += now() - start;
}

void StageWorker::State::finish(BlockResult& result) {
  double start = now();
  pack(result.kept, setup.level);
  pack(result.dropped, kQuickLevel);
  pack(result.quarantined, kQuickLevel);
  for (Piece* piece : {&result.kept, &result.dropped, &result.quarantined}) piece->bytes = std::move(piece->packed);
  if (!result.prints.empty()) result.spilled = spill_block(result.prints.size(), spill_bytes);
  result.statistics.write_seconds += now() - start;
}

BlockResult StageWorker::read(DocumentBlock documents) {
  const BlockClock clock;
  State& s = *state_;
  BlockResult result;
  Statistics& statistics = result.statistics;
  s.spill_bytes.clear();
  if (documents.fields) s.fields = *documents.fields;
  const double start = now();
  double judged = 0;
  std::string id, source;
  auto use = [&](Record& record, const base::Place& place) {
    s.huge |= record.line.size() > kHuge;
    statistics.repeated_keys += record.repeated_keys;
    statistics.non_finite += record.non_finite;
    const std::string& name = s.setup.names[place.file];
    if (record.id.empty()) record.id = id = made_id(name, place);
    if (record.source.empty()) record.source = source = made_source(name);
    statistics.read.add(record.text.size());
    statistics.sources[std::string(record.source)].read.add(record.text.size());
    ++statistics.lengths_read[static_cast<std::size_t>(power_bin(record.text.size()))];
    const double judging = now();
    s.document.reset(record.text, record.id, record.source);
    s.values.clear();
    s.fails.clear();
    s.judge({record.line, record.text, record.date, false}, result);
    judged += now() - judging;
  };
  auto refuse = [&](const base::Place& place, std::string_view bytes, std::uint64_t size, const std::string& error) {
    s.huge |= bytes.size() > kHuge;
    statistics.read.add(size);
    statistics.quarantined.add(size);
    ++statistics.errors[error];
    append_quarantine(result.quarantined.bytes, s.setup.files[place.file], place, bytes, size, error);
    ++result.quarantined.records;
    // A block of nothing but tiny bad records would become a hundred times as large.
    if (result.quarantined.bytes.size() > kPackBytes) pack(result.quarantined, kQuickLevel);
  };
  for_each_document(documents, s.parser, result.files, use, refuse);
  statistics.input_bytes += documents.block.bytes.size();
  statistics.parse_seconds += now() - start - judged;
  s.finish(result);
  clock.settle(statistics);
  if (s.huge) state_ = std::make_unique<State>(s.setup);
  return result;
}

// Scores and labels that earlier stages found.
void StageWorker::State::restore(const SpillEntry& entry) {
  values.clear();
  fails.clear();
  if (entry.members.empty()) return;
  auto json = nlohmann::json::parse("{" + std::string(entry.members) + "}");
  for (const auto& [key, value] : json.items()) {
    if (value.is_number()) document.set_score(key, value.get<double>());
    if (value.is_string()) document.set_label(key, value.get_ref<const std::string&>());
    const std::string inside = value.is_structured() ? value.dump() : "";
    if (key == "values" && inside.size() > 2) values = inside.substr(1, inside.size() - 2);
    if (key == "fails" && inside.size() > 2) fails = inside.substr(1, inside.size() - 2);
  }
}

void StageWorker::State::keep_spilled(const SpillEntry& entry, std::string_view text, BlockResult& result) {
  append_record(result.kept.bytes, entry.record, fields.names.text, entry.edited ? &entry.text : nullptr,
                entry.members);
  std::string language;
  const std::string object = "{" + std::string(entry.members) + "}";
  base::for_each_member(object, [&](std::string_view key, std::string_view value, std::size_t, std::size_t) {
    if (key == "language" && value.size() > 2) language = value.substr(1, value.size() - 2);
    return true;
  });
  if (!language.empty()) ++result.statistics.languages[language].second;
  count_kept({entry.id, entry.source, text}, result);
}

void StageWorker::State::drop_duplicate(const SpillEntry& entry, std::string_view text, const Duplicate& duplicate,
                                        BlockResult& result) {
  Fingerprint of;
  setup.prints->read(duplicate.of, {&of, 1});
  const SpillEntry kept = setup.spill->entry(of.place, other_buffer);
  std::string details = ",\"duplicate_of\":";
  base::append_json_string(details, kept.id);
  details += ",\"jaccard\":";
  append_json_number(details, duplicate.jaccard);
  members = entry.members;
  drop({entry.record,
        {entry.id, entry.source, text},
        setup.duplicate_label,
        duplicate.exact ? "exact_duplicate" : "near_duplicate",
        details,
        fmt::format("of {}, Jaccard {:.6g}", kept.id, duplicate.jaccard)},
       result);
  if (duplicate.exact) return;
  // Of the doubtful pairs, those with the lowest Jaccard, the kept document is shown too.
  Statistics::add_sample(result.statistics.near_misses, setup.duplicate_label + ": near_duplicate",
                         {kept.id, kept.source, spilled_text(other_buffer, kept, setup.fields, parser)},
                         fmt::format("kept; {} was dropped, Jaccard {:.6g}", entry.id, duplicate.jaccard),
                         duplicate.jaccard);
}

BlockResult StageWorker::reread(const SpillReader::Block& block) {
  const BlockClock clock;
  State& s = *state_;
  BlockResult result;
  s.spill_bytes.clear();
  SpillReader::Buffer& buffer = s.buffer;
  s.setup.spill->read(block, buffer);
  for (std::uint64_t i = 0; i < block.entries; ++i) {
    SpillEntry entry = s.setup.spill->next(buffer);
    s.huge |= entry.record.size() > kHuge;
    if (entry.fields != s.fields.number || s.fields.names.text.empty())
      s.fields = {s.setup.fields.at(entry.fields), static_cast<std::uint32_t>(entry.fields)};
    const Duplicate& duplicate = s.setup.duplicates[block.first_document + i];
    Record record;
    std::string error = s.parser.parse(entry.record, buffer.readable_after(entry.record), s.fields.names, record);
    if (!error.empty()) throw base::Error("the intermediate file is damaged: " + error);
    if (duplicate.dropped()) {
      s.drop_duplicate(entry, record.text, duplicate, result);
    } else if (s.setup.plan.rules.empty() && s.setup.last) {
      s.keep_spilled(entry, entry.edited ? entry.text : record.text, result);
    } else {
      s.document.reset(entry.edited ? entry.text : record.text, entry.id, entry.source);
      s.restore(entry);
      s.judge({entry.record, record.text, record.date, true}, result);
    }
  }
  s.finish(result);
  clock.settle(result.statistics);
  if (s.huge) state_ = std::make_unique<State>(s.setup);
  return result;
}

}  // namespace curate
