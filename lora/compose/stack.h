// Depth up-scaling: a deeper model out of one's own layers, some of them twice (SOLAR, arXiv:2312.15166).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lora/compose/made_model.h"

namespace lora {

/// Layers first to last, both among them.
struct LayerRange {
  std::int64_t first, last;
};

/// "0-23" or "7", below `layers`. Throws UsageError.
LayerRange layer_range(const std::string& text, std::int64_t layers);

/// The layers of `ranges` on top of each other, between the base's embedding and head. Every layer keeps what the
/// config says of it (its window, whether it knows positions). `base` must outlive the result.
MadeModel stacked(const ModelFiles& base, const std::vector<LayerRange>& ranges, base::DType type, bool keep_types);

}  // namespace lora
