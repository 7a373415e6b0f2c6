// How a training stays within memory: how many blocks are computed again instead of kept.
// Tested by tests/finetune/recompute_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "finetune/train/train_options.h"
#include "lora/adapter/adapter.h"
#include "lora/model/cost.h"
#include "lora/model/model_files.h"

namespace finetune {

/// Bytes that this machine has, or that are free on a GPU, which others may use too.
std::uint64_t memory_of(at::Device device);

struct MemoryPlan {
  std::int64_t rows_at_once =
      1;                  ///< of a batch: fewer than it has where that is enough, since it costs nothing on a CPU
  bool is_cut = false;    ///< whether it is
  bool is_asked = false;  ///< blocks are computed again whatever the memory
  std::size_t recomputed_blocks = 0;
  std::uint64_t limit = 0;        ///< bytes that training may take
  lora::TrainingMemory foretold;  ///< on a CPU; on a GPU all but `program`
  std::string to_text() const;    ///< for people; "" where nothing had to be done
};

/// By --gradient-checkpointing and --memory. Throws base::UsageError where a --memory that was given is too little.
/// `tokens` of the largest batch; `adapter`: that training goes on from, or null.
MemoryPlan plan_memory(const TrainOptions& options, const lora::ModelFiles& files, at::ScalarType dtype,
                       at::Device device, std::int64_t tokens, const lora::Adapter* adapter = nullptr);

}  // namespace finetune
