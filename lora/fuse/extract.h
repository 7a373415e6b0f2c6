// An adapter out of two models: what turned one into the other, as thin matrices.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lora/adapter/adapter.h"
#include "lora/fuse/fuse.h"
#include "lora/model/model_files.h"

namespace lora {

struct ExtractSettings {
  std::int64_t rank = 16;
  bool save_rest = false;  ///< what A and B cannot hold becomes whole tensors (modules_to_save)
  int threads = 1;
};

/// A tensor that differs between the two and is no linear layer's matrix.
struct RestTensor {
  std::string name;
  double share = 0;  ///< the norm of the difference, as a share of the base's; 0 where the base has none such
  bool is_saved = false;
};

struct Extracted {
  Adapter adapter;
  std::vector<FusedModule> modules;  ///< in the adapter's order
  std::int64_t equal = 0;            ///< linear layers that do not differ
  std::vector<RestTensor> rest;
  bool same_config = true;  ///< but for tokens and the length of texts
};

/// The linear layers of `tuned` minus those of `base`, each cut to the rank by lora/fuse/top_svd.h; layers that are
/// equal get no module. Two tensors in float32 are in memory at a time, and what the result keeps. Biases have no
/// place in an adapter beside A and B of their layer: they are told, never saved. `progress` may be empty. Throws
/// base::Error where tensors have different shapes, where nothing differs, and for numbers that are not finite.
Extracted extracted(const ModelFiles& base, const ModelFiles& tuned, const ExtractSettings& settings,
                    const std::function<void(double)>& progress = {});

}  // namespace lora
