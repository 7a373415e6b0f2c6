// Several changes of one weight joined number by number: TIES, DARE, pruning by magnitude.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lora/adapter/adapter.h"

namespace lora {

/// What is done to each change before they are added, and how they are.
struct ElementwiseSettings {
  bool at_random = false;     ///< keeps numbers by chance and divides by `density` (DARE); else the largest of all
  bool elects_signs = false;  ///< TIES: only numbers of the elected sign count, divided by how many there are
  bool by_frequency = false;  ///< the sign that most have; else that of the sum
  double density = 1;         ///< the share of numbers that is kept, above 0; 1: all
  std::uint64_t seed = 0;     ///< of chance: which numbers are kept follows from it, the module, the change and place
};

/// One of the changes of a weight: `number` says which adapter's, for chance.
struct WeightedModule {
  const AdapterModule* module;
  double weight;
  std::uint64_t number;
};

/// The joined change [out, in], row-major, of modules of one shape, in float32: as PEFT's ties, dare_linear, dare_ties
/// and magnitude_prune over whole changes (its *_svd methods), the elected sign being that of the kept numbers without
/// weights. TIES: Yadav et al. 2023, arXiv:2306.01708; DARE: Yu et al. 2023, arXiv:2311.03099. Of numbers of equal size
/// at the border those that come first are kept. Nothing but the result is ever whole in memory: changes are computed
/// again, some rows at a time, for each of the passes. The same for any number of threads.
std::vector<float> joined(std::span<const WeightedModule> modules, const ElementwiseSettings& settings, int threads);

}  // namespace lora
