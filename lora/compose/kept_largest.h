// The largest numbers of a tensor, found without having it whole in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace lora {

/// Gives rows [first, first + out.size() / (numbers of a row)) of a tensor; of a vector all of it.
using RowReader = std::function<void(std::int64_t first, std::span<float> out)>;

/// Which numbers of a tensor are kept by their size: a number of them that is known beforehand, and of equal ones those
/// that come first.
class KeptLargest {
 public:
  /// The int(density n) largest of the n numbers that `read` gives of a tensor of `shape`, at least one: the tensor is
  /// read two or three times, whole heads of `unit` rows at once. `density` is in (0, 1]. Throws base::Error for a
  /// number that is not finite; `name` is for that.
  KeptLargest(const std::string& name, const RowReader& read, const std::vector<std::int64_t>& shape, std::int64_t unit,
              double density);
  /// Zeroes what is not kept of `values`, rows from `first` on.
  void prune(std::int64_t first, std::span<float> values) const;

 private:
  std::uint32_t least_ = 0;  // the bits of the smallest size that is kept; sizes are ordered as these
  std::vector<std::uint64_t>
      equal_before_;  // of each row, numbers of that size in the rows before; empty: all are kept
  std::uint64_t equal_kept_ = 0;
  std::int64_t row_ = 1;
};

}  // namespace lora
