// Which of several copies `keep` prefers, and what documents lack for that. Tested by
// tests/curate/dedup/deduplicate_test.cc and tests/curate/preference_test.cc.
#include "curate/dedup/preference.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/text.h"
#include "base/unicode.h"
#include "curate/dedup/dates.h"

namespace curate {
namespace {

// Larger doubles give larger integers, none of them 0.
std::uint64_t ordered(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  return bits >> 63 ? ~bits : bits | (1ull << 63);
}

}  // namespace

Preference preference_of(const DuplicateOptions& options, const Comparable& document) {
  if (options.keep == "longest") return {document.characters, "", ""};
  if (options.keep == "best_score") {
    if (std::isnan(document.score)) return {0, "no such score", ""};
    return {ordered(document.score), "", ""};
  }
  if (options.keep == "newest") {
    if (document.date.empty()) return {0, "no date", ""};
    const auto date = parse_date(document.date);
    if (!date) return {0, "a date that is not understood", document.date};
    return {static_cast<std::uint64_t>(*date) ^ (1ull << 63), "", ""};
  }
  if (options.keep == "source_order") {
    const auto found = std::find(options.sources.begin(), options.sources.end(), document.source);
    return {static_cast<std::uint64_t>(options.sources.end() - found), "", ""};
  }
  return {};
}

void Unranked::count(const Preference& preference, std::string_view id) {
  if (preference.lacks.empty()) return;
  Count& count = counts[std::string(preference.lacks)];
  if (++count.documents > 1) return;
  count.first = base::shortened(id);
  if (!preference.not_taken.empty()) count.first += ": '" + base::shortened(preference.not_taken) + "'";
}

void Unranked::add(const Unranked& later) {
  for (const auto& [lacks, from] : later.counts) {
    Count& to = counts[lacks];
    if (to.documents == 0) to.first = from.first;
    to.documents += from.documents;
  }
}

std::vector<std::string> Unranked::notes() const {
  std::vector<std::string> notes;
  for (const auto& [lacks, count] : counts)
    notes.push_back(fmt::format("{} document{} with {}, kept behind all others; the first: {}",
                                base::human_count(count.documents), count.documents == 1 ? "" : "s", lacks,
                                count.first));
  return notes;
}

}  // namespace curate
