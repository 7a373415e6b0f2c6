// What training a LoRA of a model takes in `finetune`, told from its spec.
// Tested by tests/lora/model/cost_test.cc; held against measured peaks by scripts/bench/training_memory.py.
#pragma once

#include <cstdint>

#include "lora/model/spec.h"

namespace lora {

/// Trained numbers of a LoRA of `rank` on every linear layer.
std::int64_t lora_parameters(const ModelSpec& spec, std::int64_t rank);

/// Bytes, at the peak of a training on the CPU.
struct TrainingMemory {
  std::uint64_t weights = 0;      ///< of the base, in its type
  std::uint64_t adapter = 0;      ///< A and B in float32, their gradients, AdamW's two moments
  std::uint64_t activations = 0;  ///< what the backward pass reads again
  std::uint64_t scratch = 0;      ///< logits of the head's chunks, gradients on their way
  std::uint64_t program = 0;      ///< LibTorch and the program itself
  std::uint64_t total() const { return weights + adapter + activations + scratch + program; }
};

/// `tokens` of a step's rows lie in memory at once; `element`: bytes of a number of the weights, 4 or 2.
TrainingMemory training_memory(const ModelSpec& spec, std::int64_t rank, std::int64_t tokens, std::int64_t element);

}  // namespace lora
