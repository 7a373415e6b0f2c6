// LoRA on parameters that hold all experts of a layer, as PEFT's "target_parameters" has it on transformers 5.
// Tested by tests/lora/adapter/experts_test.cc.
#pragma once

#include <string>
#include <vector>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// A [experts * rank, in], B [out, rank * experts] of "model.layers.0.mlp.experts.down_proj" as one module an expert:
/// "model.layers.0.mlp.experts.3.down_proj". `rank`: of each; that of `stack` is that of all together.
std::vector<AdapterModule> split_by_expert(const AdapterModule& stack, std::int64_t rank);

/// The modules of such an adapter under the names that the linear layers of `base` have; one of gate and up together
/// becomes two. Throws base::Error when the base has other experts.
Adapter with_linears_of(const ModelFiles& base, Adapter adapter);

}  // namespace lora
