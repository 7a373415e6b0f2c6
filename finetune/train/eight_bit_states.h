// AdamW whose moments take a byte each.
#pragma once

#include <vector>

#include "finetune/train/optimizer.h"

namespace finetune {

/// Numbers of one byte in blocks of 256 with a scale each (Dettmers et al. 2022, arXiv:2110.02861): a block's largest
/// magnitude is its scale, a number the nearest one of a table of 256 times the scale.
class DynamicTable {
 public:
  static constexpr std::int64_t kBlock = 256;
  /// The dynamic 8-bit numbers of bitsandbytes, `is_signed` between -1 and 1, else between 0 and 1.
  DynamicTable(bool is_signed, at::Device device);
  /// [blocks * 256] float32 out of numbers [blocks * 256] uint8 and scales [blocks].
  at::Tensor expand(const at::Tensor& numbers, const at::Tensor& scales) const;
  /// The other way, into `numbers` and `scales`.
  void quantize(const at::Tensor& values, const at::Tensor& numbers, const at::Tensor& scales) const;
  const at::Tensor& values() const { return values_; }

 private:
  at::Tensor values_, bounds_;
};

/// bitsandbytes' AdamW8bit: AdamW between moments that are expanded and quantised again. As there, blocks begin anew
/// with every parameter, and parameters of less than 4,096 elements keep float32.
class AdamWEightBits final : public Optimizer {
 public:
  AdamWEightBits(std::vector<at::Tensor> parameters, OptimizerSettings settings);

 private:
  // Neighbours in the flat buffer that are computed at once.
  struct Piece {
    std::int64_t first, size;
    bool is_small;
    std::int64_t state_first, state_size;  // in the numbers or, of small ones, floats
  };
  std::vector<Piece> pieces_of() const;
  void update(double rate) override;
  void update_quantized(const Piece& piece, double rate);

  std::vector<Piece> pieces_;
  DynamicTable signed_, unsigned_;
  struct Moment {
    at::Tensor floats, numbers, scales;
  };
  Moment first_, second_;
};

}  // namespace finetune
