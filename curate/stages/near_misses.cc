// The documents that came nearest to a threshold without failing it. Tested by tests/curate/run_test.cc.
#include "curate/stages/near_misses.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>

namespace curate {

void NearMisses::add(std::span<const Rule> rules, std::span<const Measure> passed,
                     std::span<const std::size_t> passed_ends, const Document& document, std::string_view text,
                     Statistics::Samples& samples) {
  const std::uint64_t hash = XXH3_64bits(document.id().data(), document.id().size());
  std::size_t next = 0;
  for (std::size_t r = 0; r < passed_ends.size(); ++r) {
    for (std::size_t number = 0; next < passed_ends[r]; ++next, ++number) {
      const Measure& measure = passed[next];
      const double margin = std::abs(measure.value - measure.threshold);
      if (!std::isfinite(margin)) continue;
      if (const std::string* group = admit(rules[r], number, measure.name, margin, hash))
        Statistics::add_sample(samples, *group, {document.id(), document.source(), text},
                               compared(measure.value, measure.threshold), margin);
    }
  }
}

// Is this one among the nearest of the measure, the `number`-th that `rule` noted? Its group, or null.
const std::string* NearMisses::admit(const Rule& rule, std::size_t number, std::string_view measure, double margin,
                                     std::uint64_t hash) {
  std::vector<Group>& groups = of_rule_[&rule];
  // A rule notes its measures in one order, but not all of them for every document.
  if (number >= groups.size() || groups[number].measure != measure) {
    for (number = 0; number < groups.size() && groups[number].measure != measure;) ++number;
    if (number == groups.size()) groups.push_back({measure, rule.label + ": " + std::string(measure), {}});
  }
  Group& group = groups[number];
  const std::pair<double, std::uint64_t> one(margin, hash);
  if (group.best.size() == Specimen::kPerGroup && group.best.back() < one) return nullptr;
  group.best.insert(std::upper_bound(group.best.begin(), group.best.end(), one), one);
  if (group.best.size() > Specimen::kPerGroup) group.best.pop_back();
  return &group.name;
}

}  // namespace curate
