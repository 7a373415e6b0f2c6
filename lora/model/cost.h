// What training a LoRA of a model takes in `finetune`, told from its spec.
// Tested by tests/lora/model/cost_test.cc; held against measured peaks by scripts/bench/training_memory.py.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lora/model/model_files.h"
#include "lora/model/spec.h"

namespace lora {

/// Trained numbers of a LoRA of `rank` on every linear layer.
std::int64_t lora_parameters(const ModelSpec& spec, std::int64_t rank);

/// Bytes of a base as `finetune --quantization` keeps it.
struct WeightMemory {
  std::uint64_t kept = 0;
  std::uint64_t expanded = 0;  ///< the most that a product expands at once
};
/// `quantization`: "none", "nf4" or "int8"; `element`: bytes of a number that is computed with, 4 or 2.
WeightMemory weight_memory(const ModelSpec& spec, std::string_view quantization, std::int64_t element);
/// Of what `files` hold, "keep" too. `keeps`: whether float32 is computed with from 16 bits where they hold all (see
/// kept_type.h), as on a CPU.
WeightMemory weight_memory(const ModelFiles& files, std::string_view quantization, std::int64_t element, bool keeps);

/// What trains otherwise than by A and B.
struct TrainedWays {
  bool all = false;      ///< every weight
  bool dora = false;     ///< magnitudes
  int vocabularies = 0;  ///< whole embeddings and heads; a pair that stays tied is one
  bool head = false;     ///< whether a head is among them
};

/// Bytes, at the peak of a training on the CPU.
struct TrainingMemory {
  std::uint64_t weights = 0;      ///< of the base, as it is kept
  std::uint64_t adapter = 0;      ///< what trains in float32, its gradients, AdamW's two moments
  std::uint64_t activations = 0;  ///< what the backward pass reads again
  std::uint64_t scratch = 0;      ///< logits of the head's chunks, gradients on their way, expanded weights
  std::uint64_t program = 0;      ///< LibTorch and the program itself
  std::uint64_t saving = 0;       ///< copies of what trains and of the moments, while a checkpoint is written
  std::uint64_t total() const { return weights + adapter + std::max(activations + scratch, saving) + program; }
};

/// `tokens` of a step's rows lie in memory at once; `element`: bytes of a number that is computed with, 4 or 2. Of the
/// first `recomputed_blocks` only what they read is kept.
TrainingMemory training_memory(const ModelSpec& spec, std::int64_t rank, std::int64_t tokens, std::int64_t element,
                               const WeightMemory& weights, std::size_t recomputed_blocks = 0,
                               const TrainedWays& ways = {});
/// What a training in bfloat16 holds in float32 beside that where the processor has no products of it: a chunk of
/// logits, and what the largest product reads and gives, of three sizes one after the other: measured.
std::uint64_t widened_memory(const ModelSpec& spec, std::int64_t tokens);
/// As few as it needs to stay below `limit` bytes; all where that is not enough.
std::size_t blocks_to_recompute(const ModelSpec& spec, std::int64_t rank, std::int64_t tokens, std::int64_t element,
                                const WeightMemory& weights, std::uint64_t limit, const TrainedWays& ways = {});
/// Of weights that are not quantised.
TrainingMemory training_memory(const ModelSpec& spec, std::int64_t rank, std::int64_t tokens, std::int64_t element);

}  // namespace lora
