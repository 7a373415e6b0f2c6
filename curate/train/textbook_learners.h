// How the two heads of the textbook model learn. Deterministic: one thread, a fixed seed.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "curate/scorer/textbook_model.h"

namespace curate {

/// One document as numbers.
struct StyleExample {
  std::vector<std::pair<std::uint32_t, float>> grams;  ///< bucket and value; a vector of length 1
  std::vector<float> statistics;
  bool good = false;
  float weight = 1;  ///< how much its mistakes cost
};

/// The features of a text as an example, not yet labelled.
StyleExample style_example(const StyleFeatures& features);

struct LinearHead {
  std::vector<float> weights;  ///< one a bucket
  float bias = 0;
};

/// Logistic regression with an L2 penalty: minimises |w|^2 / 2 + cost * sum of weight * log(1 + exp(-y w.x)) by dual
/// coordinate descent (Yu, Huang, Lin: Dual coordinate descent methods for logistic regression, 2011). `passes` over
/// the examples; the bias is one more feature that is always 1.
LinearHead train_linear_head(std::span<const StyleExample* const> examples, double cost, int passes,
                             std::uint64_t seed);

struct TreeOptions {
  int trees = 150;
  double rate = 0.1;           ///< shrinkage of each tree
  double penalty = 10;         ///< L2 on the leaves, in units of the mean weight
  double leaf_examples = 50;   ///< least weight of a leaf, in units of the mean weight
  double feature_share = 0.3;  ///< statistics that each tree may look at
  std::uint64_t seed = 1;
};

/// Gradient-boosted trees of depth 3 with the logistic loss and second-order leaves (Friedman 2001; Chen and Guestrin
/// 2016), split at 63 quantiles of each statistic.
std::vector<StyleTree> train_trees(std::span<const StyleExample* const> examples, const TreeOptions& options);

/// `weights[i]` of scores[i][0..2) and the last one for the offset: logistic regression of `good` on two scores, both
/// weights held at 0 or above. Used to add the heads and to calibrate the sum.
struct Combination {
  double gram_weight = 1, tree_weight = 1, offset = 0;
};
Combination combine(std::span<const TextbookModel::Heads> heads, std::span<const std::uint8_t> good,
                    std::span<const double> weights);

}  // namespace curate
