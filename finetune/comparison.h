// How far what one model computes is from what another does: logits, probabilities, best tokens, greedy texts.
// Tested by tests/finetune/comparison_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "lora/adapter/same_weights.h"
#include "lora/model/model_files.h"

namespace finetune {

/// What rounding the weights once to their type explains.
struct Bounds {
  double relative = 0;                                       ///< of Comparison::max_rel
  double mean_kl = std::numeric_limits<double>::infinity();  ///< nats
  double same_best = 0;                                      ///< share of positions, from below
  std::string name;                                          ///< "float16 rounding"
};

/// The bounds when the merged weights of `files` were rounded once to their type; of several types the widest. About
/// three times what SmolLM2-135M with an adapter shows in that type, where without the adapter its logits are 0.4 off;
/// blocks of five bits and less lose more than that, and only nonsense is beyond their bounds: their weights tell.
/// Throws base::Error for other types.
Bounds bounds_of(const lora::ModelFiles& files);
/// Of weights in float32: only the order of additions differs.
Bounds float32_bounds();

/// Of logits without their mean at each position: softmax does not see what is common to all of a position's logits,
/// and rounding moves that much more than the rest.
struct Comparison {
  Bounds bounds{};
  double max_abs = 0;                         ///< largest |a - b| of a logit
  double max_rel = 0;                         ///< largest ||a - b|| / ||a|| of a position
  double sum_kl = 0, max_kl = 0;              ///< KL(a || b) of the next token's probabilities, nats
  std::int64_t tokens = 0, same_best = 0;     ///< positions, and those at which both have one most probable token
  std::int64_t texts = 0, same_texts = 0;     ///< greedy ones
  std::optional<lora::Difference> weights{};  ///< of what is written from base and adapter, where it was compared
  std::int64_t unexplained = 0;               ///< texts that part where logits so near would not
  double mean_kl() const { return sum_kl / static_cast<double>(tokens); }
  double share_of_best() const { return static_cast<double>(same_best) / static_cast<double>(tokens); }
  bool equal() const;  ///< NaN is not equal, nor is nothing
};

/// Adds the positions of [T, vocab] float32 logits to `comparison`.
void compare(const at::Tensor& expected, const at::Tensor& actual, Comparison& comparison);

/// Adds a greedy text: what each model wrote after the same prompt, and the first model's logits [T, vocab] of prompt
/// and its own text. Where the two part, the first one's choice may be ahead of the other by what two logits differ at
/// most. Call it when all logits are compared.
void compare_texts(const std::vector<std::int32_t>& expected, const std::vector<std::int32_t>& actual,
                   std::int64_t prompt, const at::Tensor& logits, Comparison& comparison);

/// "1,024 tokens: the logits agree within float16 rounding (largest relative difference 1.79e-03, bound 0.005)", and
/// two lines more.
std::string to_text(const Comparison& comparison);

}  // namespace finetune
