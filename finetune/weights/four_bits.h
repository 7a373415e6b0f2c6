// Rows in NF4 or FP4 as bitsandbytes lays them. Tested by tests/finetune/quantized_test.cc.
#pragma once

#include <memory>
#include <string>

#include "finetune/weights/quantized_rows.h"
#include "lora/model/packed_matrix.h"

namespace finetune {

/// What FourBitRows keeps, on one device. Scales are `scales` [blocks] float32; or, quantised themselves, numbers
/// [blocks] uint8 of `scale_table` [256], times `scales` [one for every `scale_block` of them], plus `offset`.
struct FourBits {
  at::Tensor bytes;         ///< [(numbers + 1) / 2] uint8
  at::Tensor codes;         ///< [16] float32
  std::int64_t block = 64;  ///< numbers that share a scale, from row to row
  at::Tensor scales, scale_numbers, scale_table;
  std::int64_t scale_block = 256;
  float offset = 0;
  at::ScalarType type = at::kFloat;  ///< in which codes times scales are rounded first
};

class FourBitRows final : public QuantizedRows {
 public:
  FourBitRows(FourBits kept, std::int64_t rows, std::int64_t columns);
  void expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const override;
  const FourBits& kept() const { return kept_; }

 private:
  at::Tensor scales_of(std::int64_t first, std::int64_t count) const;

  FourBits kept_;
  at::Tensor pairs_;  // [256, 2]: the two codes of a byte
};

/// `weight` [out, in] float32 on the CPU in NF4 with double quantisation, bit for bit as bitsandbytes 0.50.2 on the CPU
/// (quantize_4bit with compress_statistics, blocks of 64): blocks go on from row to row. Throws base::Error, with
/// `where`, for a weight that is no finite number.
FourBits quantize_nf4(const at::Tensor& weight, at::ScalarType type, const std::string& where);
/// What a file holds.
FourBits kept_four_bits(const lora::PackedParts& parts, std::int64_t numbers);
/// The same on another device.
FourBits to_device(const FourBits& kept, at::Device device);

}  // namespace finetune
