// Rows of a matrix in fewer bits than it is computed with. Tested by tests/finetune/quantized_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "finetune/kernels/elementwise.h"
#include "finetune/weights/block_dots.h"

namespace finetune {

/// Numbers that a thread expands at a time where each is read once: a core's cache holds them.
inline constexpr std::int64_t kCached = std::int64_t{1} << 17;

/// Rows of one tensor of the base as it is kept. What is expanded is rounded once to the type that is computed with.
class QuantizedRows {
 public:
  QuantizedRows(std::int64_t rows, std::int64_t columns) : rows_(rows), columns_(columns) {}
  virtual ~QuantizedRows() = default;
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  /// Numbers of the rows from `first` on and the columns from `column` on, a multiple of 256, as many as `out` has:
  /// [n, m] contiguous, float32 or bfloat16, on the device of the rows.
  virtual void expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const = 0;
  /// The rows `numbers` [n] int64 -> out [n, columns].
  virtual void pick(const at::Tensor& numbers, at::Tensor& out) const;
  /// `y` [n] = the rows from `first` on times x [columns], float32 in CPU memory, in this thread. By rows that are
  /// expanded to `type`, or from the kept bits where that is faster and differs by rounding alone.
  virtual void times(const BlockVector& x, std::int64_t first, at::ScalarType type, std::span<float> y) const;

 private:
  std::int64_t rows_, columns_;
};

/// Kept as they are computed with, or in the 16 bits that their file has.
class DenseRows final : public QuantizedRows {
 public:
  explicit DenseRows(at::Tensor weight) : QuantizedRows(weight.size(0), weight.size(1)), weight_(std::move(weight)) {}
  void expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const override;

 private:
  at::Tensor weight_;
};

}  // namespace finetune
