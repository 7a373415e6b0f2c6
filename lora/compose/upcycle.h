// Sparse upcycling: a model of experts out of a dense one, each expert the dense MLP (Komatsuzaki et al. 2022,
// arXiv:2212.05055).
#pragma once

#include <cstdint>

#include "lora/compose/made_model.h"

namespace lora {

struct UpcycleSettings {
  std::int64_t experts = 8, chosen = 2;
  double noise = 0;            ///< added to each expert's numbers, of this share of their matrix's deviation; 0: none
  bool random_router = false;  ///< deviation 0.02, as transformers draws it; else zero
  std::uint64_t seed = 42;
};

/// `base`, a LLaMA or Mistral, as a Mixtral. Without noise it computes what the base computes, whatever the router
/// says, since a token's experts are equal and their weights add up to 1. `base` must outlive the result. Throws
/// base::Error for what Mixtral has no place for.
MadeModel upcycled(const ModelFiles& base, const UpcycleSettings& settings, base::DType type, bool keep_types);

}  // namespace lora
