// Numbers of a merge that change from layer to layer, as mergekit's gradients do.
// Tested by tests/lora/compose/layer_curve_test.cc.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lora {

/// A number for each layer: on lines through points at equal distances, from the first layer to the last. Tensors that
/// belong to no layer get the first point, as in mergekit.
struct LayerCurve {
  std::vector<double> points;
  std::string part;  ///< for tensors whose names hold this; "": all
  double at(double place) const;
};
/// "0.5", "0:0.5:1". `option` for errors. Throws UsageError.
LayerCurve layer_curve(const std::string& text, const std::string& option);
/// One for each of `count` models, or one for all; none: 1. Throws UsageError.
std::vector<LayerCurve> layer_curves(const std::vector<std::string>& texts, std::size_t count,
                                     const std::string& option);
/// "self_attn=0:1": a curve of the tensors whose names hold what stands before the sign. Throws UsageError.
LayerCurve curve_of_part(const std::string& text, const std::string& option);

}  // namespace lora
