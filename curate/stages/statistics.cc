// What a run counts. Tested by tests/curate/configs_test.cc.
#include "curate/stages/statistics.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <tuple>

namespace curate {
using nlohmann::json;

void ScoreCounts::add(double value) {
  int bin = static_cast<int>(std::clamp(value, 0.0, 1.0) * kBins);
  ++bins[static_cast<std::size_t>(std::min(bin, kBins - 1))];
}

int power_bin(std::uint64_t number) { return std::min<int>(std::bit_width(number | 1) - 1, 39); }

namespace {

bool smaller(const Specimen& a, const Specimen& b) {
  return std::tie(a.margin, a.hash, a.id) < std::tie(b.margin, b.hash, b.id);
}

void insert(std::vector<Specimen>& group, Specimen sample) {
  group.insert(std::upper_bound(group.begin(), group.end(), sample, smaller), std::move(sample));
  if (group.size() > Specimen::kPerGroup) group.pop_back();
}

void add_count(Count& to, const Count& from) {
  to.records += from.records;
  to.bytes += from.bytes;
}

void add_counts(SourceCounts& to, const SourceCounts& from) {
  add_count(to.read, from.read);
  add_count(to.kept, from.kept);
  for (const auto& [step, count] : from.dropped) to.dropped[step] += count;
}

// Records that were kept or dropped.
std::uint64_t decided(const SourceCounts& source) {
  std::uint64_t records = source.kept.records;
  for (const auto& [step, count] : source.dropped) records += count;
  return records;
}

}  // namespace

void Statistics::limit_sources(std::size_t most) {
  if (sources.size() <= most) return;
  std::vector<std::map<std::string, SourceCounts>::iterator> order;
  for (auto source = sources.begin(); source != sources.end(); ++source) order.push_back(source);
  const auto larger = [](const auto& a, const auto& b) {
    return std::tie(b->second.read.records, a->first) < std::tie(a->second.read.records, b->first);
  };
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(), larger);
  for (std::size_t i = most; i < order.size(); ++i) {
    add_counts(other_sources, order[i]->second);
    sources.erase(order[i]);
  }
}

// A later stage decides about records that an earlier one has read; they are the others' where the source was pushed
// out, or was when they were read.
void Statistics::add_source(const std::string& name, const SourceCounts& from) {
  const auto found = sources.find(name);
  const std::uint64_t read = from.read.records + (found == sources.end() ? 0 : found->second.read.records);
  const std::uint64_t done = decided(from) + (found == sources.end() ? 0 : decided(found->second));
  add_counts(other_sources.read.records > 0 && done > read ? other_sources : sources[name], from);
}

void Statistics::add_sample(Samples& samples, const std::string& group, const DocumentView& document, std::string note,
                            double margin) {
  auto [id, source, text] = document;
  std::vector<Specimen>& samples_of = samples[group];
  Specimen sample;
  sample.hash = XXH3_64bits(id.data(), id.size());
  sample.margin = margin;
  if (samples_of.size() >= Specimen::kPerGroup &&
      std::tie(samples_of.back().margin, samples_of.back().hash) <= std::tie(margin, sample.hash))
    return;
  sample.id = id.substr(0, 300);
  sample.source = source;
  sample.note = std::move(note);
  sample.bytes = text.size();
  if (text.size() > Specimen::kExcerptBytes) {
    std::size_t end = Specimen::kExcerptBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  sample.excerpt = text;
  while (sample.id.size() > 0 && sample.id.size() < id.size() &&
         (static_cast<unsigned char>(id[sample.id.size()]) & 0xC0) == 0x80)
    sample.id.pop_back();  // cut at a code point
  insert(samples_of, std::move(sample));
}

void Statistics::add(const Statistics& other) {
  add_count(read, other.read);
  add_count(kept, other.kept);
  add_count(dropped, other.dropped);
  add_count(quarantined, other.quarantined);
  input_bytes += other.input_bytes;
  parse_seconds += other.parse_seconds;
  write_seconds += other.write_seconds;
  duplicate_seconds += other.duplicate_seconds;
  for (const auto& [label, from] : other.steps) {
    StepCounts& to = steps[label];
    add_count(to.seen, from.seen);
    add_count(to.dropped, from.dropped);
    add_count(to.edited, from.edited);
    to.seconds += from.seconds;
    for (const auto& [reason, count] : from.reasons) to.reasons[reason] += count;
  }
  for (const auto& [name, from] : other.sources) add_source(name, from);
  add_counts(other_sources, other.other_sources);
  if (sources.size() > 2 * kMostSources) limit_sources(kMostSources);
  for (const auto& [name, from] : other.scores)
    for (std::size_t i = 0; i < from.bins.size(); ++i) scores[name].bins[i] += from.bins[i];
  for (const auto& [name, from] : other.counts)
    for (std::size_t i = 0; i < from.size(); ++i) counts[name][i] += from[i];
  for (const auto& [name, from] : other.languages) {
    languages[name].first += from.first;
    languages[name].second += from.second;
  }
  for (std::size_t i = 0; i < lengths_read.size(); ++i) {
    lengths_read[i] += other.lengths_read[i];
    lengths_kept[i] += other.lengths_kept[i];
  }
  repeated_keys += other.repeated_keys;
  non_finite += other.non_finite;
  bounded += other.bounded;
  for (const auto& [label, from] : other.unranked) unranked[label].add(from);
  for (const auto& [size, count] : other.clusters) clusters[size] += count;
  for (const auto& [error, count] : other.errors)
    errors[errors.size() < kMostErrors || errors.count(error) > 0 ? error : kOtherErrors] += count;
  for (const auto& [group, from] : other.samples)
    for (const Specimen& sample : from) insert(samples[group], sample);
  for (const auto& [group, from] : other.near_misses)
    for (const Specimen& sample : from) insert(near_misses[group], sample);
}

namespace {

json samples_json(const Statistics::Samples& groups) {
  json all = json::object();
  for (const auto& [group, samples] : groups) {
    json& list = all[group] = json::array();
    for (const Specimen& sample : samples)
      list.push_back({{"hash", sample.hash},
                      {"id", sample.id},
                      {"source", sample.source},
                      {"text", sample.excerpt},
                      {"note", sample.note},
                      {"margin", sample.margin},
                      {"bytes", sample.bytes}});
  }
  return all;
}
Statistics::Samples samples_from(const json& all) {
  Statistics::Samples groups;
  for (const auto& [group, list] : all.items())
    for (const json& from : list) {
      Specimen sample;
      from.at("hash").get_to(sample.hash);
      from.at("id").get_to(sample.id);
      from.at("source").get_to(sample.source);
      from.at("text").get_to(sample.excerpt);
      from.at("note").get_to(sample.note);
      from.at("margin").get_to(sample.margin);
      from.at("bytes").get_to(sample.bytes);
      groups[group].push_back(std::move(sample));
    }
  return groups;
}

json count_json(const Count& count) { return {{"records", count.records}, {"bytes", count.bytes}}; }
json source_json(const SourceCounts& source) {
  return {{"read", count_json(source.read)}, {"kept", count_json(source.kept)}, {"dropped", source.dropped}};
}
json unranked_json(const std::map<std::string, Unranked>& unranked) {
  json all = json::object();
  for (const auto& [label, one] : unranked)
    for (const auto& [lacks, count] : one.counts)
      all[label][lacks] = {{"documents", count.documents}, {"first", count.first}};
  return all;
}
std::map<std::string, Unranked> unranked_from(const json& all) {
  std::map<std::string, Unranked> unranked;
  for (const auto& [label, one] : all.items())
    for (const auto& [lacks, count] : one.items())
      unranked[label].counts[lacks] = {count.at("documents").get<std::uint64_t>(),
                                       count.at("first").get<std::string>()};
  return unranked;
}
Count count_from(const json& j) { return {j.at("records").get<std::uint64_t>(), j.at("bytes").get<std::uint64_t>()}; }
SourceCounts source_from(const json& j) {
  return {count_from(j.at("read")), count_from(j.at("kept")),
          j.at("dropped").get<std::map<std::string, std::uint64_t>>()};
}

}  // namespace

json to_json(const Statistics& s) {
  json j;
  j["read"] = count_json(s.read);
  j["kept"] = count_json(s.kept);
  j["dropped"] = count_json(s.dropped);
  j["quarantined"] = count_json(s.quarantined);
  j["input_bytes"] = s.input_bytes;
  j["seconds"] = {{"parse", s.parse_seconds}, {"write", s.write_seconds}, {"duplicates", s.duplicate_seconds}};
  j["steps"] = json::object();
  for (const auto& [label, step] : s.steps)
    j["steps"][label] = {{"seen", count_json(step.seen)},
                         {"dropped", count_json(step.dropped)},
                         {"edited", count_json(step.edited)},
                         {"seconds", step.seconds},
                         {"reasons", step.reasons}};
  j["sources"] = json::object();
  for (const auto& [name, source] : s.sources) j["sources"][name] = source_json(source);
  j["other_sources"] = source_json(s.other_sources);
  j["scores"] = json::object();
  for (const auto& [name, score] : s.scores) j["scores"][name] = score.bins;
  j["counts"] = s.counts;
  j["repeated_keys"] = s.repeated_keys;
  j["non_finite"] = s.non_finite;
  j["bounded"] = s.bounded;
  j["unranked"] = unranked_json(s.unranked);
  j["languages"] = json::object();
  for (const auto& [name, counts] : s.languages)
    j["languages"][name] = {{"seen", counts.first}, {"kept", counts.second}};
  j["lengths"] = {{"read", s.lengths_read}, {"kept", s.lengths_kept}};
  j["clusters"] = json::object();
  for (const auto& [size, count] : s.clusters) j["clusters"][std::to_string(size)] = count;
  j["errors"] = s.errors;
  j["samples"] = samples_json(s.samples);
  j["near_misses"] = samples_json(s.near_misses);
  return j;
}

Statistics statistics_from_json(const json& j) {
  Statistics s;
  s.read = count_from(j.at("read"));
  s.kept = count_from(j.at("kept"));
  s.dropped = count_from(j.at("dropped"));
  s.quarantined = count_from(j.at("quarantined"));
  j.at("input_bytes").get_to(s.input_bytes);
  j.at("seconds").at("parse").get_to(s.parse_seconds);
  j.at("seconds").at("write").get_to(s.write_seconds);
  j.at("seconds").at("duplicates").get_to(s.duplicate_seconds);
  for (const auto& [label, from] : j.at("steps").items()) {
    StepCounts& step = s.steps[label];
    step.seen = count_from(from.at("seen"));
    step.dropped = count_from(from.at("dropped"));
    step.edited = count_from(from.at("edited"));
    from.at("seconds").get_to(step.seconds);
    from.at("reasons").get_to(step.reasons);
  }
  for (const auto& [name, from] : j.at("sources").items()) s.sources[name] = source_from(from);
  s.other_sources = source_from(j.at("other_sources"));
  for (const auto& [name, from] : j.at("scores").items()) from.get_to(s.scores[name].bins);
  j.at("counts").get_to(s.counts);
  j.at("repeated_keys").get_to(s.repeated_keys);
  j.at("non_finite").get_to(s.non_finite);
  j.at("bounded").get_to(s.bounded);
  s.unranked = unranked_from(j.at("unranked"));
  for (const auto& [name, from] : j.at("languages").items())
    s.languages[name] = {from.at("seen").get<std::uint64_t>(), from.at("kept").get<std::uint64_t>()};
  j.at("lengths").at("read").get_to(s.lengths_read);
  j.at("lengths").at("kept").get_to(s.lengths_kept);
  for (const auto& [size, count] : j.at("clusters").items()) s.clusters[std::stoull(size)] = count;
  j.at("errors").get_to(s.errors);
  s.samples = samples_from(j.at("samples"));
  s.near_misses = samples_from(j.at("near_misses"));
  return s;
}

}  // namespace curate
