// Rows of blocks as a GGUF holds them. Tested by tests/finetune/quantized_test.cc.
#pragma once

#include "base/tensor.h"
#include "finetune/weights/quantized_rows.h"

namespace finetune {

class GgufRows final : public QuantizedRows {
 public:
  /// `bytes` [out, bytes of a row] uint8, rows in Hugging Face's order.
  GgufRows(base::DType type, at::Tensor bytes, std::int64_t columns)
      : QuantizedRows(bytes.size(0), columns), type_(type), bytes_(std::move(bytes)) {}
  void expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const override;
  void pick(const at::Tensor& numbers, at::Tensor& out) const override;
  void times(const BlockVector& x, std::int64_t first, at::ScalarType type, std::span<float> y) const override;

 private:
  base::DType type_;
  at::Tensor bytes_;
};

/// Blocks [n, bytes of a block] uint8 of `type` -> [n, elements of a block] float32, by ATen's operations on any
/// device: bit for bit what base::to_float gives.
at::Tensor expand_blocks(base::DType type, const at::Tensor& blocks);

}  // namespace finetune
