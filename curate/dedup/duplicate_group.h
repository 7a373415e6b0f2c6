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

/// What find_duplicates promises, for documents that share no content and no band with any other. Indices count in
/// `prints`. The sets that wait for a comparison take about `set_bytes`; what does not fit is asked for again.
/// `on_pair`, unless empty, is called for every verified pair, by any thread, with the smaller index first. Adds to
/// `bounded` the documents that were not compared with all candidates.
std::vector<Duplicate> decide_group(
    std::span<const Fingerprint> prints, const DuplicateOptions& options, int threads, const ShingleSets& sets,
    std::uint64_t set_bytes, const std::function<void(std::uint32_t a, std::uint32_t b, double jaccard)>& on_pair,
    std::uint64_t& bounded);

}  // namespace curate
