// A page of statistics of how a text is written: shares, means and ratios, none of which grows with its length.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "curate/scorer/textbook_tokens.h"

namespace curate {

/// Names of the statistics, in their order.
std::span<const std::string> style_statistic_names();

/// Closed classes of English words (pronouns, articles, ...): the words of group g, separated by single spaces. At most
/// 32 groups.
std::span<const std::string_view> style_word_groups();

/// What a model knows of a word.
struct StyleWord {
  std::uint64_t hash = 0;
  std::int32_t rank = -1;    ///< among the general words, 0 the most widespread; -1: not one of them
  std::uint32_t groups = 0;  ///< bit g: the word is in style_word_groups()[g]
};

/// Sums while the tokens of a text go by. One object is used for one text after another.
class StyleStatistics {
 public:
  StyleStatistics();
  ~StyleStatistics();
  StyleStatistics(StyleStatistics&&) noexcept;
  StyleStatistics& operator=(StyleStatistics&&) noexcept;

  void clear();
  /// `code` as style_code. `word` is empty for what is no word.
  void add(const StyleToken& token, const StyleWord& word, std::uint32_t code);
  /// Behind the last token of a piece of text: a line, a sentence and a paragraph end there.
  void end_piece();
  /// The statistics, as many as there are names. `bytes`: of the pieces; `high_bytes`: those from 0x80 up.
  void finish(std::uint64_t bytes, std::uint64_t high_bytes, std::vector<float>& values) const;

 private:
  struct Sums;
  std::unique_ptr<Sums> sums_;
};

}  // namespace curate
