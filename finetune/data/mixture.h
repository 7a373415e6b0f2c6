// A mixture of sources by weight.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "finetune/data/examples.h"

namespace finetune {

/// One source of a mixture: a file, or the files of a glob or folder.
struct MixturePart {
  std::string name;
  double weight = 0;
  std::uint64_t available = 0;  ///< examples that it has
  std::uint64_t taken = 0;      ///< of an epoch, repetitions among them
  /// "a.jsonl: 700 of 1,000 examples of an epoch (70.0%): all of its 100, each 7 times"
  std::string to_text(std::uint64_t all) const;
};

/// "0.7,0.3"
std::string weights_text(const std::vector<double>& weights);

/// Throws UsageError unless there are `count` weights and one is above 0.
void check_weights(const std::vector<double>& weights, std::size_t count);

/// An epoch that has as many examples as `examples`, of which each of `parts` gives its share, by the largest
/// remainder: of a part that has too few all, again and again, and then some, of one that has more some, chosen by
/// `seed`. `part_of_file`: to which part the files belong that the examples came from. Sets `available` and `taken`.
/// The examples are in input order. Throws base::Error where a part with a weight has none.
Examples mixed(const Examples& examples, const std::vector<std::size_t>& part_of_file, std::uint64_t seed,
               std::vector<MixturePart>& parts);

}  // namespace finetune
