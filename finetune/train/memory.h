// How a training stays within memory: how many blocks are computed again instead of kept.
// Tested by tests/finetune/recompute_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "finetune/train/train_options.h"
#include "lora/model/cost.h"
#include "lora/model/model_files.h"

namespace finetune {

struct MemoryPlan {
  std::size_t recomputed_blocks = 0;
  std::uint64_t limit = 0;        ///< bytes that training may take
  lora::TrainingMemory foretold;  ///< on a CPU; on a GPU all but `program`
  std::string to_text() const;    ///< for people; "" where nothing is computed again
};

/// By --gradient-checkpointing and --memory. Throws base::UsageError where a --memory that was given is too little.
/// `tokens` of the largest batch.
MemoryPlan plan_memory(const TrainOptions& options, const lora::ModelFiles& files, at::ScalarType dtype,
                       at::Device device, std::int64_t tokens);

}  // namespace finetune
