// Matrices that bitsandbytes keeps in fewer bits, in several tensors each, as floating-point numbers again.
// Tested by tests/lora/model/packed_matrix_test.cc.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/tensor.h"

namespace lora {

/// By the name under which a model has them.
using TensorsByName = std::unordered_map<std::string, base::TensorView>;

/// What the numbers of NF4 stand for: quantiles of a normal distribution (Dettmers et al. 2023, arXiv:2305.14314,
/// appendix E), as bitsandbytes has them; `quant_map` of a file holds the same.
inline constexpr std::array<float, 16> kNf4Codes = {-1.0F,
                                                    -0.6961928009986877F,
                                                    -0.5250730514526367F,
                                                    -0.39491748809814453F,
                                                    -0.28444138169288635F,
                                                    -0.18477343022823334F,
                                                    -0.09105003625154495F,
                                                    0.0F,
                                                    0.07958029955625534F,
                                                    0.16093020141124725F,
                                                    0.24611230194568634F,
                                                    0.33791524171829224F,
                                                    0.44070982933044434F,
                                                    0.5626170039176941F,
                                                    0.7229568362236023F,
                                                    1.0F};

/// Scales of blocks: `plain`; or, where these are quantised themselves, each a number of `table` times the one of
/// `outer` that `block` of them share, plus `offset`.
struct PackedScales {
  std::vector<float> plain{};
  std::span<const std::byte> numbers{};  ///< as long as the file is open, as are PackedParts' bytes
  std::vector<float> table{}, outer{};   ///< [256], [numbers / block]
  std::int64_t block = 0;                ///< 0: plain
  float offset = 0;
  float at(std::int64_t index) const;
};
/// What a packed matrix is made of, for who keeps it as it is.
struct PackedParts {
  const std::array<float, 16>* codes = nullptr;  ///< of four bits; null: INT8, signed bytes
  std::span<const std::byte> bytes{};            ///< of four bits two numbers each, the first in the upper half
  PackedScales scales{};
  std::int64_t block = 0;                ///< numbers that share a scale, from row to row; of INT8 a row
  base::DType type = base::DType::kF32;  ///< see PackedMatrix::type
};

class PackedMatrix {
 public:
  explicit PackedMatrix(PackedParts parts) : parts_(std::move(parts)) {}
  virtual ~PackedMatrix() = default;
  const PackedParts& parts() const { return parts_; }
  virtual std::string_view name() const = 0;  ///< "NF4", "FP4", "INT8"
  /// The type that its numbers are computed in and rounded to; of INT8 they are float32 all the same.
  base::DType type() const { return parts_.type; }
  /// Numbers [first, first + out.size()) of the matrix, row by row, bit for bit as bitsandbytes gives them on the CPU.
  virtual void read(std::int64_t first, std::span<float> out) const = 0;

 protected:
  PackedParts parts_;
};

/// The matrix `shape` whose weight stands in `tensors` with what bitsandbytes keeps beside it; these companions are
/// taken out of `tensors`. Null when it stands there plainly. `type`: of what INT8 gives, which does not say it. `file`
/// for messages. Throws base::Error for companions that are missing, of a wrong size or of a kind that is not known.
std::shared_ptr<const PackedMatrix> unpack_matrix(TensorsByName& tensors, const std::string& weight,
                                                  const std::vector<std::int64_t>& shape, base::DType type,
                                                  const std::string& file);

}  // namespace lora
