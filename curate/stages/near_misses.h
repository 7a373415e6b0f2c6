// The documents that came nearest to a threshold without failing it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "curate/stages/run_options.h"
#include "curate/stages/statistics.h"
#include "curate/steps/document.h"
#include "curate/steps/step.h"

namespace curate {

/// Samples of near misses. It remembers the smallest margins that one thread has met for each measure: only a document
/// among them can be among the samples of the whole run, so that most documents cost a few comparisons.
class NearMisses {
 public:
  /// `document` has passed all `rules`, with `passed` of the measures: those of rule r end at passed_ends[r]. Where it
  /// is among the nearest to a threshold, `text` becomes a sample under "RULE: MEASURE".
  void add(std::span<const Rule> rules, std::span<const Measure> passed, std::span<const std::size_t> passed_ends,
           const Document& document, std::string_view text, Statistics::Samples& samples);

 private:
  struct Group {
    std::string_view measure;
    std::string name;
    std::vector<std::pair<double, std::uint64_t>> best;  // margin, hash of the id; ascending
  };
  const std::string* admit(const Rule& rule, std::size_t number, std::string_view measure, double margin,
                           std::uint64_t hash);

  std::unordered_map<const Rule*, std::vector<Group>> of_rule_;
};

}  // namespace curate
