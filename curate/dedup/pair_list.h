// Verified pairs of duplicates: gathered in any order, given back sorted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "curate/dedup/byte_store.h"

namespace curate {

/// A verified pair of LSH candidates, by index.
struct DuplicatePair {
  std::uint64_t a = 0, b = 0;
  double jaccard = 0;
};

/// Holds at most about `memory` bytes; sorted runs of more pairs wait in a file without a name in `folder`.
class PairList {
 public:
  PairList(std::filesystem::path folder, std::uint64_t memory);
  /// Any thread.
  void add(const DuplicatePair& pair);
  /// Calls f for all pairs in order of a, then b.
  void for_each(const std::function<void(const DuplicatePair&)>& f);

 private:
  void end_run();
  std::mutex mutex_;
  std::size_t limit_;  // pairs in memory
  std::vector<DuplicatePair> pairs_;
  ByteStore runs_;
  std::vector<std::uint64_t> run_ends_;  // in pairs
};

/// Writes {"a","b","jaccard"} lines, ids looked up by `id_of`.
void write_pairs(const std::string& path, PairList& pairs, const std::function<std::string(std::uint64_t)>& id_of);

}  // namespace curate
