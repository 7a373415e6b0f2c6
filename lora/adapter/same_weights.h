// Is what was written what was meant? Read back and compared, number by number.
#pragma once

#include <functional>
#include <string>

#include "base/tensor.h"
#include "lora/adapter/adapter.h"
#include "lora/adapter/merge.h"

namespace lora {

/// The tensor that differs most from what it should be, by the norm of the difference as a share of its own.
struct Difference {
  std::string name;
  double share = 0;
  double bound = 0;  ///< what rounding to the types that were written can explain, of that tensor
  /// The same against what should be there rounded to the type: blocks of few bits lose more by rounding than most
  /// adapters change, and are still known to be the right ones. `rounded_bound` allows for a rounding before.
  double rounded = 0;
  double rounded_bound = 1;
  bool is_within() const { return share <= bound && rounded <= rounded_bound; }
};

/// Weights of `written` against those of `model`, all of them; of the tensor that is farthest in terms of its bound.
/// Throws base::Error when a tensor is missing or of another shape.
Difference compare_weights(const MergedModel& model, const ModelFiles& written, int threads,
                           const std::function<void(double)>& progress = {});
/// What two adapters of one base add to each weight, by products with a vector.
Difference compare_adapters(const Adapter& adapter, const Adapter& written);

}  // namespace lora
