// Several adapters of one base as one, by what they change, not by their matrices.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "lora/adapter/adapter.h"
#include "lora/fuse/elementwise.h"

namespace lora {

enum class FuseMethod {
  kLinear,       ///< the sum of weight * change, at the least rank that holds it, or cut to one
  kConcatenate,  ///< the same sum as matrices side by side: no number is computed but weight * scale * B
  kElementwise,  ///< lora/fuse/elementwise.h, cut to a rank
};

struct FuseSettings {
  FuseMethod method = FuseMethod::kLinear;
  std::int64_t rank = 0;  ///< 0: linear: all of it; elementwise: the largest among the adapters
  ElementwiseSettings elementwise{};
  int threads = 1;
};

/// What became of a module.
struct FusedModule {
  std::string name;
  std::int64_t rank = 0;
  std::size_t adapters = 0;  ///< that have it; the others change nothing there
  double squared_norm = 0;   ///< of the joined change as it is before it is cut
  double squared_error = 0;  ///< of what the cut to `rank` left out
};

struct FusedAdapter {
  Adapter adapter;
  std::vector<FusedModule> modules;  ///< in the adapter's order
};

/// `adapters` with `weights` as one of scale 1, whose alpha is its rank. One or more; all plain LoRA
/// (check_only_matrices) under the names of one base. Whole tensors and rows of tokens are not taken over
/// (lora/fuse/extras.h). `progress` is told the share done; may be empty. Throws base::Error for modules of different
/// shapes.
FusedAdapter fused(std::span<const Adapter> adapters, std::span<const double> weights, const FuseSettings& settings,
                   const std::function<void(double)>& progress = {});

/// The adapter cut to `rank`, or, where that is 0, module by module to the least rank that keeps `energy` (above 0, at
/// most 1) of the squared norm of its change. Nothing grows: a rank is at most that which holds the change.
FusedAdapter resized(const Adapter& adapter, std::int64_t rank, double energy, int threads,
                     const std::function<void(double)>& progress = {});

/// The adapter with its change times `by`, in B: ranks, alpha and patterns stay, so that it reads alike everywhere.
Adapter scaled(Adapter adapter, double by);

/// Throws base::Error for adapters whose changes cannot be put side by side: DoRA, which depends on the base; modules
/// under two names; an embedding that is the head's too in one alone. `names`: of the adapters, for messages.
void check_only_matrices(std::span<const Adapter> adapters, std::span<const std::string> names);

/// Takes `modules` as those of an adapter: in order, with a rank, an alpha of the same, and targets.
void take_modules(Adapter& adapter, std::vector<AdapterModule> modules);

}  // namespace lora
