// Inside the search for duplicates: documents that fit into memory are decided together.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "curate/dedup/duplicate_search.h"
#include "curate/dedup/fingerprint.h"

namespace curate {

/// Bytes of memory that decide_group takes for each document at most, its print and its result included, the shingle
/// sets not.
std::uint64_t group_bytes(const DuplicateOptions& options, int threads);

/// Documents that share no content and no band with any other, and what there is to decide about them with.
struct DocumentGroup {
  std::span<const Fingerprint> prints;
  const DuplicateOptions& options;
  int threads = 1;
  const ShingleSets& sets;
  std::uint64_t set_bytes = 0;  ///< what the sets that wait for a comparison take about; others are asked for again
  /// Unless empty, called for every verified pair, by any thread, with the smaller index first.
  std::function<void(std::uint32_t a, std::uint32_t b, double jaccard)> on_pair;
};

/// What find_duplicates promises, for one group. Indices count in `prints`. Adds to `bounded` the documents that were
/// not compared with all candidates.
std::vector<Duplicate> decide_group(const DocumentGroup& group, std::uint64_t& bounded);

}  // namespace curate
