// What the textbook model knows of a text: pairs of style tokens, and a page of statistics. Topic words are not among
// them: a word outside a short list of general words counts only by its shape.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "curate/scorer/textbook_statistics.h"
#include "curate/scorer/textbook_tokens.h"

namespace curate {

/// The general words of a model, most widespread first. Immutable after construction.
class StyleVocabulary {
 public:
  static constexpr std::size_t kMost = 4096;
  StyleVocabulary() : StyleVocabulary(std::vector<std::string>{}) {}
  /// Lower-case words, at most kMost.
  explicit StyleVocabulary(std::vector<std::string> words);
  const std::vector<std::string>& words() const { return words_; }
  /// What is known of a word; `hash` as style_hash.
  const StyleWord& find(std::uint64_t hash) const {
    std::size_t slot = hash >> shift_;
    while (slots_[slot].hash != 0 && slots_[slot].hash != hash) slot = (slot + 1) & mask_;
    return slots_[slot];
  }

 private:
  std::vector<std::string> words_;
  std::vector<StyleWord> slots_;
  std::size_t mask_ = 0;
  int shift_ = 63;
};

/// Reads a text into features. One object a thread; its buffers are kept. A text above kMostBytes is represented by its
/// first half of that and as much from its middle, so that the cost of a document is bounded.
class StyleFeatures {
 public:
  static constexpr std::size_t kMostBytes = 16384;
  static constexpr int kBits = 16;  ///< single tokens and pairs are hashed to 2^kBits buckets

  StyleFeatures();

  /// Fills grams() and statistics(). Any bytes are accepted.
  void read(std::string_view text, const StyleVocabulary& vocabulary);

  struct Gram {
    std::uint32_t bucket;
    std::uint32_t count;  ///< how often it came, at least 1
  };
  /// The buckets that came up, in the order they first did.
  std::span<const Gram> grams() const { return grams_; }
  /// As many as style_statistic_names().
  std::span<const float> statistics() const { return statistics_; }
  /// Tokens that were read.
  std::size_t tokens() const { return tokens_; }
  /// The bytes of `text` that are read: one piece, or two.
  static std::pair<std::string_view, std::string_view> sample(std::string_view text);

 private:
  std::vector<std::uint16_t> counts_;  // of each bucket, while a text is read; 0 between texts
  std::vector<Gram> grams_;
  std::vector<float> statistics_;
  std::size_t tokens_ = 0;
  StyleStatistics totals_;
};

/// The number that stands for a token in grams: a general word itself, else the shape of the token. Below 2^24.
std::uint32_t style_code(const StyleToken& token, const StyleWord& word, std::string_view text);
/// The bucket of a single token's code, and of two neighbours' codes.
std::uint32_t style_bucket(std::uint32_t code);
std::uint32_t style_bucket(std::uint32_t first, std::uint32_t second);

}  // namespace curate
