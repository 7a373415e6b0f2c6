// Which numbers of a tensor are kept when it is made sparse: its largest (TIES), or what chance leaves (DARE). Neither
// needs the tensor whole in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "lora/adapter/tensor_stream.h"

namespace lora {

/// A tensor as rows that are read some at a time; a vector is rows of one number.
struct TensorRows {
  std::int64_t rows, columns;
  std::vector<RowRange> parts;  ///< all rows, in order, as they are read
  /// Gives the rows from `first` on, out.size() / columns of them: finite numbers, the same ones each time.
  std::function<void(std::int64_t first, std::span<float> out)> read;
};

/// The largest numbers of a tensor by their size, and of equal ones those that come first.
class KeptLargest {
 public:
  /// The `keep` (0 or more) largest numbers. The tensor is read two or three times, its parts by `threads` threads.
  /// Throws what `read` throws.
  KeptLargest(const TensorRows& tensor, std::int64_t keep, int threads);
  /// Zeroes what is not kept of `values`, rows from `first` on.
  void prune(std::int64_t first, std::span<float> values) const;

 private:
  std::uint32_t least_ = 0;                 // the bits of the smallest size that is kept; sizes are ordered as these
  std::vector<std::int64_t> equal_before_;  // of each row, numbers of that size in the rows before; empty: all are kept
  std::int64_t equal_kept_ = 0;
};

/// What chance depends on beside the place: `start`, which has the seed and whose tensor it is, and the tensor's name.
std::uint64_t chance_key(std::uint64_t start, std::string_view name);

/// Zeroes all but a share of `density` of `values`, the numbers from place `first` of a tensor on: the same ones
/// however many are given at once.
void drop_by_chance(std::uint64_t key, double density, std::int64_t first, std::span<float> values);

}  // namespace lora
