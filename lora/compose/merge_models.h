// Several models of one shape as one, weight by weight: what mergekit 0.1.5 computes of float32 models, with no more
// than a few rows of each in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lora/compose/layer_curve.h"
#include "lora/compose/made_model.h"

namespace lora {

/// kSlerp: along the arc between two models. The others but kLinear work on what each model adds to the base: kTies
/// keeps the largest of it and what has the sign of the sum (arXiv:2306.01708), kDare what chance keeps
/// (arXiv:2311.03099), kDareTies both chance and sign; kTaskArithmetic all (arXiv:2212.04089).
enum class MergeMethod { kLinear, kSlerp, kTies, kDare, kDareTies, kTaskArithmetic };
constexpr bool needs_base(MergeMethod method) { return method >= MergeMethod::kTies; }
constexpr bool keeps_some(MergeMethod method) { return needs_base(method) && method != MergeMethod::kTaskArithmetic; }

/// By what DARE makes up for what it drops: the sum of sizes is what it was (mergekit), or 1 / density (the paper).
enum class Rescale { kNorm, kDensity, kNone };

struct MergeSettings {
  MergeMethod method = MergeMethod::kLinear;
  std::vector<LayerCurve> weights, densities;  ///< one a model; densities where keeps_some
  std::vector<LayerCurve> t;                   ///< of kSlerp, 0 the first model: the first whose part fits a tensor
  double lambda = 1;                           ///< of what is added to the base
  bool normalised = true;                      ///< divided by the sum of the weights
  Rescale rescale = Rescale::kNorm;
  std::uint64_t seed = 42;
};

/// The models of `models` as one: `base` is that of the methods that need one, else unused; config and types are those
/// of `shape`, one of all these. What a method must know of whole tensors is measured here, on `threads` threads.
/// All models must be alike, tie or not tie their heads together, and outlive the result.
MadeModel merged_models(const ModelFiles* base, const std::vector<const ModelFiles*>& models, const ModelFiles& shape,
                        const MergeSettings& settings, base::DType type, bool keep_types, int threads,
                        const std::function<void(double)>& progress);

}  // namespace lora
