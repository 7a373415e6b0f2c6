// A frozen matrix of quantised parts, expanded for each product. Tested by tests/finetune/quantized_test.cc.
#pragma once

#include <memory>
#include <vector>

#include "finetune/weights/frozen_matrix.h"
#include "finetune/weights/quantized_rows.h"

namespace finetune {

/// `parts` one below the other. A product expands them into memory that all products of a thread share, all rows at
/// once or, where that would be more than `scratch` numbers, piece by piece: of rows for apply, of columns for
/// apply_transposed, so that every sum of a product is still one sum. (On a GPU apply_transposed expands all.)
class QuantizedMatrix final : public FrozenMatrix {
 public:
  /// `options`: type and device of what is computed. `scratch` 0: what suits the device.
  QuantizedMatrix(std::vector<std::shared_ptr<const QuantizedRows>> parts, const at::TensorOptions& options,
                  std::int64_t scratch = 0);
  at::Tensor apply(const at::Tensor& x, const at::Tensor& added = {}) const override;
  at::Tensor apply_transposed(const at::Tensor& dy) const override;
  void apply_rows(at::Tensor& y, const at::Tensor& x, std::int64_t first) const override;
  void apply_rows_transposed(at::Tensor& dx, const at::Tensor& dy, std::int64_t first) const override;
  at::Tensor rows(const at::Tensor& numbers) const override;
  at::Tensor rows_from(std::int64_t first, std::int64_t count) const override;

 private:
  void apply_rows(at::Tensor& y, const at::Tensor& x, std::int64_t first, const at::Tensor& added) const;
  at::Tensor apply_to_one(const at::Tensor& x, const at::Tensor& added) const;
  at::Tensor expanded(std::int64_t first, std::int64_t count, std::int64_t column, std::int64_t columns) const;

  std::vector<std::shared_ptr<const QuantizedRows>> parts_;
  at::TensorOptions options_;
  std::int64_t scratch_, rows_ = 0, columns_;
};

}  // namespace finetune
