// Rows in int8, each with a scale of its own, as bitsandbytes' LLM.int8() keeps weights. Tested by
// tests/finetune/quantized_test.cc.
#pragma once

#include <string>

#include "finetune/weights/quantized_rows.h"
#include "lora/model/packed_matrix.h"

namespace finetune {

/// number * scale / 127, in float32.
class EightBitRows final : public QuantizedRows {
 public:
  /// `bytes` [out, in] int8, `scales` [out] float32.
  EightBitRows(at::Tensor bytes, at::Tensor scales)
      : QuantizedRows(bytes.size(0), bytes.size(1)), bytes_(std::move(bytes)), scales_(std::move(scales)) {}
  void expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const override;

 private:
  at::Tensor bytes_, scales_;
};

struct EightBits {
  at::Tensor bytes, scales;
};
/// `weight` [out, in] float32 on the CPU, bit for bit as bitsandbytes' Int8Params: rounded to float16 first, as it
/// does. Throws base::Error, with `where`, for a weight that is beyond float16 or no number.
EightBits quantize_int8(const at::Tensor& weight, const std::string& where);
/// What a file holds.
EightBits kept_eight_bits(const lora::PackedParts& parts, std::int64_t rows);

}  // namespace finetune
