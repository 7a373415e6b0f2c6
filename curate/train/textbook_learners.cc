// How the two heads of the textbook model learn. Tested by tests/curate/scorer/textbook_model_test.cc.
#include "curate/train/textbook_learners.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace curate {

StyleExample style_example(const StyleFeatures& features) {
  StyleExample example;
  double total = 0;
  for (const StyleFeatures::Gram& gram : features.grams()) total += gram.count;
  example.grams.reserve(features.grams().size());
  for (const StyleFeatures::Gram& gram : features.grams()) {
    example.grams.emplace_back(gram.bucket, static_cast<float>(std::sqrt(gram.count / total)));
  }
  example.statistics.assign(features.statistics().begin(), features.statistics().end());
  return example;
}

LinearHead train_linear_head(std::span<const StyleExample* const> examples, double cost, int passes,
                             std::uint64_t seed) {
  // w = sum of alpha_i y_i x_i, with alpha_i between 0 and cost * weight_i. Each step minimises the dual over one
  // alpha_i, by Newton's method on g(z) = a/2 (z - alpha)^2 + b (z - alpha) + z log z + (c - z) log(c - z).
  std::vector<float> w(std::size_t{1} << StyleFeatures::kBits);
  double bias = 0;
  std::vector<double> alpha(examples.size());
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  base::Random random(seed);
  for (int pass = 0; pass < passes; ++pass) {
    base::shuffle(order, random);
    for (std::size_t i : order) {
      const StyleExample& x = *examples[i];
      const double y = x.good ? 1 : -1, c = cost * x.weight;
      if (c <= 0) continue;
      double dot = bias, norm = 1;
      for (auto [bucket, value] : x.grams) {
        dot += static_cast<double>(w[bucket]) * value;
        norm += static_cast<double>(value) * value;
      }
      const double old = alpha[i], b = y * dot;
      double z = std::clamp(old, 1e-6 * c, (1 - 1e-6) * c);
      for (int step = 0; step < 50; ++step) {
        const double slope = norm * (z - old) + b + std::log(z / (c - z));
        const double curve = norm + c / (z * (c - z));
        double next = z - slope / curve;
        if (next <= 0) next = z / 10;
        if (next >= c) next = c - (c - z) / 10;
        const bool done = std::abs(next - z) <= 1e-8 * c;
        z = std::clamp(next, 1e-12 * c, (1 - 1e-12) * c);
        if (done) break;
      }
      alpha[i] = z;
      const double move = y * (z - old);
      bias += move;
      for (auto [bucket, value] : x.grams) w[bucket] += static_cast<float>(move * value);
    }
  }
  return {std::move(w), static_cast<float>(bias)};
}

namespace {

constexpr int kCuts = 63;

struct Sums {
  double gradient = 0, curvature = 0, weight = 0;
  void add(const Sums& other) {
    gradient += other.gradient;
    curvature += other.curvature;
    weight += other.weight;
  }
  Sums minus(const Sums& other) const {
    return {gradient - other.gradient, curvature - other.curvature, weight - other.weight};
  }
};

// Ascending thresholds between which the values are about equally frequent.
std::vector<float> quantile_cuts(std::vector<float> values) {
  std::sort(values.begin(), values.end());
  std::vector<float> cuts;
  for (int i = 1; i <= kCuts; ++i) {
    const std::size_t at = values.size() * static_cast<std::size_t>(i) / (kCuts + 1);
    if (at == 0 || at >= values.size()) continue;
    // Halfway to the next larger value, so that a new document's value seldom lies on the threshold itself.
    const auto above = std::upper_bound(values.begin(), values.end(), values[at]);
    if (above == values.end()) break;
    const float cut = values[at] + (*above - values[at]) / 2;
    if (cut < *above && (cuts.empty() || cut > cuts.back())) cuts.push_back(cut);
  }
  return cuts;
}

}  // namespace

std::vector<StyleTree> train_trees(std::span<const StyleExample* const> examples, const TreeOptions& options) {
  std::vector<StyleTree> trees;
  if (examples.empty()) return trees;
  const std::size_t features = examples[0]->statistics.size(), count = examples.size();
  std::vector<std::vector<float>> cuts(features);
  std::vector<std::vector<std::uint8_t>> bins(features, std::vector<std::uint8_t>(count));
  double mean_weight = 0;
  for (const StyleExample* e : examples) mean_weight += e->weight / static_cast<double>(count);
  for (std::size_t f = 0; f < features; ++f) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = examples[i]->statistics[f];
    cuts[f] = quantile_cuts(values);
    for (std::size_t i = 0; i < count; ++i) {
      const auto cut = std::lower_bound(cuts[f].begin(), cuts[f].end(), values[i]);  // values above it go right
      bins[f][i] = static_cast<std::uint8_t>(cut - cuts[f].begin());
    }
  }
  base::Random random(options.seed);
  std::vector<double> score(count);
  std::vector<std::uint8_t> node(count);
  std::vector<Sums> parts(count);
  std::vector<std::size_t> order(features);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto looked_at = static_cast<std::size_t>(std::ceil(options.feature_share * static_cast<double>(features)));
  const double penalty = options.penalty * mean_weight, least = options.leaf_examples * mean_weight;
  auto gain = [&](const Sums& s) { return s.gradient * s.gradient / (s.curvature + penalty); };
  while (static_cast<int>(trees.size()) < options.trees) {
    for (std::size_t i = 0; i < count; ++i) {
      const double p = 1 / (1 + std::exp(-score[i])), weight = examples[i]->weight;
      parts[i] = {weight * ((examples[i]->good ? 1 : 0) - p), weight * p * (1 - p), weight};
      node[i] = 0;
    }
    StyleTree tree;
    for (int level = 0; level < 3; ++level) {
      const std::size_t first = (std::size_t{1} << level) - 1, width = std::size_t{1} << level;
      struct Split {
        double gain = 1e-9;
        std::size_t feature = 0;
        int cut = -1;
      };
      std::vector<Split> best(width);
      base::shuffle(order, random);  // each level looks at other statistics
      for (std::size_t k = 0; k < looked_at; ++k) {
        const std::size_t f = order[k];
        std::vector<std::array<Sums, kCuts + 1>> histogram(width);
        for (std::size_t i = 0; i < count; ++i) histogram[node[i] - first][bins[f][i]].add(parts[i]);
        for (std::size_t n = 0; n < width; ++n) {
          Sums all, left;
          for (const Sums& s : histogram[n]) all.add(s);
          for (std::size_t cut = 0; cut < cuts[f].size(); ++cut) {
            left.add(histogram[n][cut]);
            const Sums right = all.minus(left);
            if (left.weight < least || right.weight < least) continue;
            const double gained = gain(left) + gain(right) - gain(all);
            if (gained > best[n].gain) best[n] = {gained, f, static_cast<int>(cut)};
          }
        }
      }
      for (std::size_t n = 0; n < width; ++n) {  // a node that nothing splits sends all to the left
        tree.feature[first + n] = static_cast<std::uint16_t>(best[n].feature);
        tree.threshold[first + n] = best[n].cut < 0 ? std::numeric_limits<float>::max()
                                                    : cuts[best[n].feature][static_cast<std::size_t>(best[n].cut)];
      }
      for (std::size_t i = 0; i < count; ++i) {
        const Split& split = best[node[i] - first];
        node[i] = static_cast<std::uint8_t>(2 * node[i] + 1 + (split.cut >= 0 && bins[split.feature][i] > split.cut));
      }
    }
    std::array<Sums, 8> leaves{};
    for (std::size_t i = 0; i < count; ++i) leaves[node[i] - 7u].add(parts[i]);
    for (std::size_t n = 0; n < 8; ++n) {
      tree.leaf[n] = static_cast<float>(options.rate * leaves[n].gradient / (leaves[n].curvature + penalty));
    }
    for (std::size_t i = 0; i < count; ++i) score[i] += tree.leaf[node[i] - 7u];
    trees.push_back(tree);
  }
  return trees;
}

Combination combine(std::span<const TextbookModel::Heads> heads, std::span<const std::uint8_t> good,
                    std::span<const double> weights) {
  // Plain gradient steps with a slowly falling rate on three numbers would do; Newton's method needs no rate. A small
  // pull towards equal weights keeps it sane when the classes are separable.
  Combination c{0.5, 0.5, 0};
  double total = 0;
  for (double w : weights) total += w;
  if (total <= 0) return c;
  const double pull = 1e-3;
  for (int step = 0; step < 100; ++step) {
    double g[3] = {}, h[3][3] = {};
    for (std::size_t i = 0; i < heads.size(); ++i) {
      const double x[3] = {heads[i].grams, heads[i].trees, 1};
      const double p = 1 / (1 + std::exp(-(c.gram_weight * x[0] + c.tree_weight * x[1] + c.offset)));
      const double w = weights[i] / total, error = p - (good[i] ? 1 : 0);
      for (int a = 0; a < 3; ++a) {
        g[a] += w * error * x[a];
        for (int b = 0; b < 3; ++b) h[a][b] += w * p * (1 - p) * x[a] * x[b];
      }
    }
    g[0] += pull * (c.gram_weight - 0.5);
    g[1] += pull * (c.tree_weight - 0.5);
    for (int a = 0; a < 3; ++a) h[a][a] += a < 2 ? pull : 1e-9;
    // Cramer's rule for h * move = g.
    auto determinant = [](const double(&m)[3][3]) {
      return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
             m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
    };
    const double whole = determinant(h);
    double move[3];
    for (int column = 0; column < 3; ++column) {
      double m[3][3];
      for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) m[a][b] = b == column ? g[a] : h[a][b];
      }
      move[column] = determinant(m) / whole;
    }
    const double size = std::max({std::abs(move[0]), std::abs(move[1]), std::abs(move[2])});
    const double shrink = size > 1 ? 1 / size : 1;
    c.gram_weight = std::max(0.0, c.gram_weight - shrink * move[0]);
    c.tree_weight = std::max(0.0, c.tree_weight - shrink * move[1]);
    c.offset -= shrink * move[2];
    if (size < 1e-9) break;
  }
  return c;
}

}  // namespace curate
