// Which documents are dropped for which, within a budget of memory.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "curate/dedup/fingerprint.h"
#include "curate/dedup/pair_list.h"

namespace curate {

/// Copies the prints of documents first, first + 1, ... into `prints`. Called by any thread.
using ReadPrints = std::function<void(std::uint64_t first, std::span<Fingerprint> prints)>;
/// The sorted distinct shingle hashes of the document that `print` is of, asked for by worker `worker`.
using ShingleSets = std::function<void(const Fingerprint& print, int worker, std::vector<std::uint64_t>& set)>;

/// The documents that are searched, and what the search may use.
struct DuplicateSearch {
  std::uint64_t documents = 0;  ///< fewer than 2^32
  ReadPrints prints;
  ShingleSets sets;
  int threads = 1;
  std::uint64_t memory = ~std::uint64_t{0};  ///< bytes, the result included
  std::uint64_t elsewhere = 0;               ///< bytes that are used already; for the error's advice
  std::uint64_t budget = 0;                  ///< bytes that --memory gives to all, for the error; 0: the sum of both
};

/// Decides for every document. Same text first: of each text the preferred copy stands for all. Then stars: documents
/// in order of preference; one is dropped when its exact Jaccard with an already kept candidate reaches the threshold
/// (of several, the highest; then the most preferred), else kept. Never transitive: a dropped document drops no other.
/// The order of preference is `preference`, then for `first` and `source_order` the index, for other policies content,
/// id and index, so that the kept texts do not depend on the order of the input. With `pairs` every candidate pair is
/// verified (quadratic in a cluster) and reported, the smaller index first.
///
/// The result depends neither on `threads` nor on `memory`. What does not fit into memory at once is split into groups
/// that share no content and no band: 24 bytes a document stay in memory (16 without a split), and the largest group
/// must fit. Throws Error, naming the least --memory, when it does not.
///
/// Without `pairs` a document is compared with options.max_candidates kept ones at most (0: all): those with which it
/// shares the least common bands, of equally common ones the most preferred. So pages of one template, which share
/// bands without being near, take time in proportion to their number. `bounded` receives how many documents had more.
std::vector<Duplicate> find_duplicates(const DuplicateSearch& search, const DuplicateOptions& options,
                                       PairList* pairs = nullptr, std::uint64_t* bounded = nullptr);

/// What is said of `bounded` documents.
std::string bounded_note(std::uint64_t documents);

}  // namespace curate
