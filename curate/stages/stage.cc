#include "curate/stages/stage.h"

#include <fmt/format.h>
#include <time.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/json_text.h"
#include "base/stream.h"
#include "base/text.h"
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
  /// Turns the seconds that the block's statistics hold into processor time.
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
constexpr int kQuickLevel = 1;  ///< zstd level of what is not kept

// Compresses what has gathered in the piece.
void pack(Piece& piece, int level) {
  if (piece.bytes.empty()) return;
  piece.raw += piece.bytes.size();
  piece.packed += base::zstd_compress(piece.bytes, level);
  piece.bytes.clear();
}

std::uint64_t code_points(std::string_view text) {
  std::uint64_t count = 0;
  for (char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

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
  std::vector<Measure> measures, passed;  ///< passed: by all rules so far, one rule behind another
  std::vector<std::size_t> passed_ends;   ///< one a rule
  NearMisses near_misses;
  FieldSet fields;  ///< of the record that is worked on
  SpillReader::Buffer buffer, other_buffer;
  bool huge = false;  ///< a record has grown the buffers beyond what is kept for the next block

  void judge(std::string_view line, std::string_view original, std::string_view date, bool again, BlockResult& result);
  void drop(std::string_view line, std::string_view id, std::string_view source, std::string_view text,
            const std::string& label, const std::string& reason, const std::string& details, const std::string& note,
            BlockResult& result);
  void keep_spilled(const SpillEntry& entry, std::string_view text, BlockResult& result);
  void count_kept(std::string_view id, std::string_view source, std::string_view text, BlockResult& result);
  void restore(const SpillEntry& entry);
  void note_values(const Rule& rule, const Verdict& verdict);
  void finish(BlockResult& result);
};

StageWorker::StageWorker(const StageSetup& setup) : state_(std::make_unique<State>(setup)) {}
StageWorker::~StageWorker() = default;

// `details` are the members that say why.
void StageWorker::State::drop(std::string_view line, std::string_view id, std::string_view source,
                              std::string_view text, const std::string& label, const std::string& reason,
                              const std::string& details, const std::string& note, BlockResult& result) {
  Statistics& statistics = result.statistics;
  std::string all = "\"step\":";
  base::append_json_string(all, label);
  all += ",\"reason\":";
  base::append_json_string(all, reason);
  all += details;
  if (!members.empty()) all += "," + members;
  std::string only_reasons;
  if (setup.only_reasons) {
    auto member = [&](const std::string& field, const char* usual, std::string_view value) {
      only_reasons += only_reasons.empty() ? '{' : ',';
      base::append_json_string(only_reasons, field.empty() ? usual : field);
      only_reasons += ':';
      base::append_json_string(only_reasons, value);
    };
    member(fields.names.id, "id", id);
    member(fields.names.source, "source", source);
    only_reasons += '}';
    line = only_reasons;
  }
  append_record(result.dropped.bytes, line, fields.names.text, nullptr, all);
  ++result.dropped.records;
  statistics.dropped.add(text.size());
  StepCounts& counts = statistics.steps[label];
  counts.dropped.add(text.size());
  ++counts.reasons[reason];
  ++statistics.sources[std::string(source)].dropped[label];
  Statistics::add_sample(statistics.samples, label + ": " + reason, id, source, text, note);
}

void StageWorker::State::count_kept(std::string_view id, std::string_view source, std::string_view text,
                                    BlockResult& result) {
  Statistics& statistics = result.statistics;
  ++result.kept.records;
  statistics.kept.add(text.size());
  statistics.sources[std::string(source)].kept.add(text.size());
  ++statistics.lengths_kept[static_cast<std::size_t>(power_bin(text.size()))];
  Statistics::add_sample(statistics.samples, "kept", id, source, text, "");
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

// Runs the rules over the document that is set up in `document`, and puts its record `line`, which holds the text
// `original`, where it belongs. `again`: an earlier stage has seen it.
void StageWorker::State::judge(std::string_view line, std::string_view original, std::string_view date, bool again,
                               BlockResult& result) {
  Statistics& statistics = result.statistics;
  const std::size_t scores_before = document.scores().size(), labels_before = document.labels().size();
  passed.clear();
  passed_ends.clear();
  Verdict verdict;
  const Rule* stopped = nullptr;
  double start = now();
  for (const Rule& rule : setup.plan.rules) {
    if (stopped != nullptr) {  // all values are wanted
      note_values(rule, rule.step->apply(document, &measures));
      continue;
    }
    StepCounts& counts = statistics.steps[rule.label];
    counts.seen.add(document.text().size());
    const char* before = document.text().data();
    verdict = rule.step->apply(document, setup.keep_values ? &measures : nullptr);
    // A second edit has freed the text it read; then a new address must do.
    if (document.text().data() != before && (before != original.data() || document.text() != original))
      counts.edited.add(document.text().size());
    passed_ends.push_back(passed.size());
    if (setup.keep_values) note_values(rule, verdict);
    const double end = now();
    counts.seconds += end - start;
    start = end;
    if (!verdict.keep) {
      stopped = &rule;
      if (!setup.keep_values) break;
    }
  }
  for (std::size_t i = again ? scores_before : 0; i < document.scores().size(); ++i) {
    const auto& [name, value] = document.scores()[i];
    if (document.is_count(name)) {
      ++statistics.counts[name][static_cast<std::size_t>(power_bin(static_cast<std::uint64_t>(value)))];
    } else {
      statistics.scores[name].add(value);
    }
  }
  std::string language;
  for (std::size_t i = 0; i < document.labels().size(); ++i) {
    if (document.labels()[i].first != "language") continue;
    language = document.labels()[i].second;
    if (!again || i >= labels_before) ++statistics.languages[language].first;
  }
  members.clear();
  append_scores(members, document.scores(), document.labels());
  if (setup.keep_values) {
    if (!members.empty()) members += ',';
    members += "\"values\":{" + values + "},\"fails\":[" + fails + "]";
  }
  if (stopped != nullptr) {
    std::string reason(verdict.reason), details;
    if (!setup.keep_values) {
      details = ",\"values\":{";
      base::append_json_string(details, reason);
      details += ':';
      append_json_number(details, verdict.value);
      details += '}';
    }
    details += ",\"threshold\":";
    append_json_number(details, verdict.threshold);
    drop(line, document.id(), document.source(), original, stopped->label, reason, details,
         compared(verdict.value, verdict.threshold), result);
    return;
  }
  near_misses.add(setup.plan.rules, passed, passed_ends, document, original, statistics.near_misses);
  const bool edited = document.text() != original;
  const std::string_view new_text = edited ? document.text() : std::string_view{};
  if (setup.last) {
    append_record(result.kept.bytes, line, fields.names.text, edited ? &new_text : nullptr, members);
    if (!language.empty()) ++statistics.languages[language].second;
    count_kept(document.id(), document.source(), document.text(), result);
    return;
  }
  start = now();
  const Deduplicate& deduplicate = *setup.plan.deduplicate;
  Fingerprint print = fingerprinter->fingerprint(document.text(), document.id());
  double score = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [name, value] : document.scores())
    if (name == deduplicate.score) score = value;
  print.preference = preference_of(deduplicate, code_points(document.text()), score, date, document.source());
  print.place =
      append_entry(spill_bytes, {line, document.id(), document.source(), members, new_text, edited, fields.number});
  result.prints.push_back(print);
  StepCounts& counts = statistics.steps[setup.plan.label];
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
    if (record.id.empty()) record.id = id = made_id(name, place.line);
    if (record.source.empty()) record.source = source = made_source(name);
    statistics.read.add(record.text.size());
    statistics.sources[std::string(record.source)].read.add(record.text.size());
    ++statistics.lengths_read[static_cast<std::size_t>(power_bin(record.text.size()))];
    const double judging = now();
    s.document.reset(record.text, record.id, record.source);
    s.values.clear();
    s.fails.clear();
    s.judge(record.line, record.text, record.date, false, result);
    judged += now() - judging;
  };
  auto refuse = [&](const base::Place& place, std::string_view bytes, std::uint64_t size, const std::string& error) {
    s.huge |= bytes.size() > kHuge;
    statistics.read.add(size);
    statistics.quarantined.add(size);
    ++statistics.errors[error.substr(0, error.find('"'))];
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
  count_kept(entry.id, entry.source, text, result);
}

BlockResult StageWorker::reread(const SpillReader::Block& block) {
  const BlockClock clock;
  State& s = *state_;
  BlockResult result;
  s.spill_bytes.clear();
  SpillReader::Buffer &buffer = s.buffer, &other = s.other_buffer;
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
      Fingerprint of;
      s.setup.prints->read(duplicate.of, {&of, 1});
      SpillEntry kept = s.setup.spill->entry(of.place, other);
      std::string details = ",\"duplicate_of\":";
      base::append_json_string(details, kept.id);
      details += ",\"jaccard\":";
      append_json_number(details, duplicate.jaccard);
      s.members = entry.members;
      s.drop(entry.record, entry.id, entry.source, record.text, s.setup.duplicate_label,
             duplicate.exact ? "exact_duplicate" : "near_duplicate", details,
             fmt::format("of {}, Jaccard {:.6g}", kept.id, duplicate.jaccard), result);
      // Of the doubtful pairs, those with the lowest Jaccard, the kept document is shown too.
      if (!duplicate.exact)
        Statistics::add_sample(result.statistics.near_misses, s.setup.duplicate_label + ": near_duplicate", kept.id,
                               kept.source, spilled_text(other, kept, s.setup.fields, s.parser),
                               fmt::format("kept; {} was dropped, Jaccard {:.6g}", entry.id, duplicate.jaccard),
                               duplicate.jaccard);
    } else if (s.setup.plan.rules.empty() && s.setup.last) {
      s.keep_spilled(entry, entry.edited ? entry.text : record.text, result);
    } else {
      s.document.reset(entry.edited ? entry.text : record.text, entry.id, entry.source);
      s.restore(entry);
      s.judge(entry.record, record.text, record.date, true, result);
    }
  }
  s.finish(result);
  clock.settle(result.statistics);
  if (s.huge) state_ = std::make_unique<State>(s.setup);
  return result;
}

}  // namespace curate
