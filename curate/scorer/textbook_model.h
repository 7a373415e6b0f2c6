// The textbook score: one number from 0 to 1, from how a text is written. Two heads look at it - a linear one at pairs
// of style tokens, boosted trees at a page of statistics - and what they say is added and calibrated.
//
// File format, little-endian, at most kMostFileBytes:
//   char[8]  "HBSTYLE1"
//   u32      bytes of a note; that many bytes of UTF-8 (what it was trained on)
//   u32      bits of the gram table (= StyleFeatures::kBits)
//   u32      general words; for each u8 length and its bytes, most widespread first
//   u32      statistics (= style_statistic_names().size()); u64 XXH3 of their names, each followed by '\n'
//   f32 * 5  gram weight, tree weight, offset (of the log-odds), bias of the gram head, unit of the gram table
//   i16 * 2^bits    the gram table, in that unit
//   u32      trees; for each, u16 feature and f32 threshold of its 7 inner nodes, then f32 of its 8 leaves
//   u64      XXH3 of everything before
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "curate/scorer/textbook_features.h"

namespace curate {

/// A complete binary tree of depth 3 over the statistics. From node i one goes to 2i+1, or to 2i+2 when the statistic
/// is above the threshold; nodes 7 to 14 are the leaves 0 to 7.
struct StyleTree {
  std::array<std::uint16_t, 7> feature{};
  std::array<float, 7> threshold{};
  std::array<float, 8> leaf{};
  float value(std::span<const float> statistics) const {
    std::size_t node = 0;
    for (int depth = 0; depth < 3; ++depth) {
      node = 2 * node + 1 + (statistics[feature[node]] > threshold[node] ? 1 : 0);
    }
    return leaf[node - 7];
  }
};

/// What is learned. A plain value; TextbookModel checks it.
struct TextbookWeights {
  std::string note;
  std::vector<std::string> words;
  float gram_weight = 1, tree_weight = 1, offset = 0, gram_bias = 0, gram_unit = 1;
  std::vector<std::int16_t> grams;  ///< 2^StyleFeatures::kBits
  std::vector<StyleTree> trees;
};

/// Immutable after construction; used by many threads, each with its own StyleFeatures.
class TextbookModel {
 public:
  static constexpr std::size_t kMostFileBytes = 2 << 20;
  static constexpr std::string_view kMagic = "HBSTYLE1";

  explicit TextbookModel(TextbookWeights weights);
  /// Reads a file. Throws Error (file@offset) for anything that is not such a file, whole and unharmed.
  explicit TextbookModel(const std::filesystem::path& path);
  /// Does the file begin with kMagic? False when it cannot be read.
  static bool recognises(const std::filesystem::path& path);
  /// The bytes of the file.
  std::string serialise() const;
  void save(const std::filesystem::path& path) const;

  /// The calibrated probability that the text is good prose (a textbook, tutorial or guide) and not junk (logs, lists,
  /// code, change logs, legal boilerplate), when both are equally frequent beforehand and the text comes from a source
  /// that was not trained on. An empty text has 0. Never throws.
  double score(std::string_view text, StyleFeatures& features) const;

  /// What the two heads say, before they are weighed.
  struct Heads {
    double grams = 0, trees = 0;
  };
  Heads heads(std::string_view text, StyleFeatures& features) const;
  /// The score of what the heads said.
  double probability(const Heads& heads) const;

  const TextbookWeights& weights() const { return weights_; }
  const StyleVocabulary& vocabulary() const { return vocabulary_; }

 private:
  TextbookWeights weights_;
  StyleVocabulary vocabulary_;
};

}  // namespace curate
