// An MLP of experts: a router sends each token through the few that fit it best.
// Tested by tests/finetune/experts_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "finetune/adapt/linear.h"
#include "lora/model/spec.h"

namespace finetune {

/// What the routers of a forward pass gave each expert: for the loss that evens them out (Fedus et al. 2021,
/// arXiv:2101.03961, equations 4 to 6, over all layers together as transformers computes it).
struct RouterShares {
  at::Tensor tokens, probability;  ///< [experts] float32: tokens sent there, and the sum of the tokens' probabilities
  std::int64_t rows = 0;           ///< tokens, in each layer anew
  /// probabilities [T, experts], chosen [T, k]
  void add(const at::Tensor& probabilities, const at::Tensor& chosen);
  /// experts * sum of (share of tokens) * (mean probability); scalar, differentiable by the probabilities.
  at::Tensor loss() const;
};

/// x [T, hidden] -> [T, hidden] by the `products` of an MLP with experts: the router's; where there is an MLP for all
/// tokens, its gate and its two; two of each expert. `shares` may be null.
at::Tensor routed(std::span<const JoinedLinear> products, const lora::MlpSpec& mlp, const at::Tensor& x,
                  const Draws& draws, RouterShares* shares);

}  // namespace finetune
