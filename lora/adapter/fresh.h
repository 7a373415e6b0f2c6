// An adapter before its first step: which modules get how much of what, under the names of PEFT's LoraConfig.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// Patterns are "EXPRESSION=NUMBER": the first whose expression matches a module's name, whole or behind a point,
/// decides. Lists of PEFT's keys choose as PEFT's would.
struct FreshOptions {
  std::int64_t rank = 16;
  double alpha = 32, dropout = 0;
  std::vector<std::string> targets = {"all-linear"};
  bool rslora = false, dora = false;
  std::vector<std::string> exclude_modules, layers_to_transform, layers_pattern;
  std::vector<std::string> rank_pattern, alpha_pattern, dropout_pattern;
  std::vector<std::string> modules_to_save;
  std::vector<std::int64_t> tokens;      ///< rows of the embedding that train (trainable_token_indices)
  std::vector<std::int64_t> new_tokens;  ///< likewise, in a head of its own too, where they do not train whole
  bool ensure_weight_tying = false;
  std::string start;  ///< "", "pissa" or "olora": init_lora_weights
};

/// The modules of a fresh adapter, each without numbers yet. Throws base::Error for what chooses nothing.
Adapter chosen_modules(const ModelSpec& spec, const FreshOptions& options);

/// A kaiming-uniform(a = sqrt 5), i.e. U(+-1/sqrt(in)), from `seed` and the module's place in the model; of the
/// embedding N(0, 1); B = 0. No magnitudes, whole tensors or rows yet. Throws as
/// chosen_modules does.
Adapter fresh_adapter(const ModelSpec& spec, const FreshOptions& options, std::uint64_t seed);

/// Puts what comes from the weights into it: whole tensors, rows of tokens, and A and B of a start, which takes
/// scale * B A out of the base by as many frozen rows more. `progress` may be empty.
void add_from_base(Adapter& adapter, const ModelFiles& base, const FreshOptions& options, int threads,
                   const std::function<void(double)>& progress = {});

/// Gives modules of an adapter the dropouts of such patterns. Throws where one matches none.
void set_dropouts(Adapter& adapter, const std::vector<std::string>& patterns);

/// Every tensor of the model as one that trains whole: what full fine-tuning begins with, or has come to.
Adapter whole_model(const ModelFiles& model);

}  // namespace lora
