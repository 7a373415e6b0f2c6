// What is known before the first step: that the model computes numbers, and how much memory and time it will take.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "finetune/data/examples.h"
#include "finetune/model/model.h"
#include "finetune/train/train_options.h"
#include "lora/model/cost.h"

namespace finetune {

struct Preflight {
  lora::TrainingMemory memory;
  double seconds = 0;      ///< of all steps to come; 0: not measured, there are few tokens to come
  std::int64_t tried = 0;  ///< tokens that were measured
  /// "memory: ...", "time: ...".
  std::vector<std::string> lines() const;
  nlohmann::ordered_json to_json() const;
};

/// Tokens of the largest batch.
std::int64_t largest_batch(const Examples& examples, const PlanOptions& plan, std::uint64_t seed);

/// Throws base::Error where that is clearly more than `available` bytes.
void check_memory(const lora::TrainingMemory& memory, std::uint64_t available);

/// Whether it holds neither NaN nor infinity: exponents, and scales of blocks, are looked through.
bool holds_numbers(const base::TensorView& tensor);

/// Throws base::Error, naming the tensor, when the base does not hold numbers only; packed tensors are known by what
/// the model computes of the first example's beginning.
void check_weights(const Transformer& model, const lora::ModelFiles& files, const Examples& examples, int threads);

/// Tokens that measured_seconds tries, at most.
inline constexpr std::size_t kTriedTokens = 256;

/// Seconds that `tokens` of training take, measured forward and backward on some of the first examples; `tried`: on how
/// many tokens. What trains gets gradients of it, to be set to zero.
double measured_seconds(const Transformer& model, const Examples& examples, double tokens, std::int64_t& tried);

}  // namespace finetune
