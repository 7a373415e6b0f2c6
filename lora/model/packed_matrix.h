// Matrices that bitsandbytes keeps in fewer bits, in several tensors each, as floating-point numbers again.
// Tested by tests/lora/model/packed_matrix_test.cc.
#pragma once

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

class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  virtual std::string_view name() const = 0;  ///< "NF4", "FP4", "INT8"
  /// The type that its numbers are computed in and rounded to; of INT8 they are float32 all the same.
  virtual base::DType type() const = 0;
  /// Numbers [first, first + out.size()) of the matrix, row by row, bit for bit as bitsandbytes gives them on the CPU.
  virtual void read(std::int64_t first, std::span<float> out) const = 0;
};

/// The matrix `shape` whose weight stands in `tensors` with what bitsandbytes keeps beside it; these companions are
/// taken out of `tensors`. Null when it stands there plainly. `type`: of what INT8 gives, which does not say it. `file`
/// for messages. Throws base::Error for companions that are missing, of a wrong size or of a kind that is not known.
std::shared_ptr<const PackedMatrix> unpack_matrix(TensorsByName& tensors, const std::string& weight,
                                                  const std::vector<std::int64_t>& shape, base::DType type,
                                                  const std::string& file);

}  // namespace lora
