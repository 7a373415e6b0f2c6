// Repetition of word n-grams, as Gopher's rules count it: hashes, no n-gram strings.
#pragma once

#include <cstdint>

#include "curate/steps/document.h"

namespace curate {

/// Walks the word n-grams of one document for growing n; each n uses what the one before found out.
class TopNGrams {
 public:
  TopNGrams(Document& document, const Words& words);
  /// Code points of the most frequent n-gram (words joined by " "; of equally frequent ones the first) times its
  /// occurrences; one occurrence counts too. 0 when there are fewer than n words. Call with n = 2, 3, 4, ...: each time
  /// one more.
  std::uint64_t next();
  /// Of the last next(): the first word of that n-gram, and its occurrences (0: fewer than n words).
  std::uint32_t position() const { return position_; }
  std::uint32_t times() const { return times_; }

 private:
  Document& document_;
  const Words& words_;
  std::size_t n_ = 1;
  std::uint32_t position_ = 0, times_ = 0;
  template <class Hash>
  void count_most_frequent(std::uint32_t least, Hash hash);
  // Positions whose (n_)-gram may occur more than once: only there can an (n_ + 1)-gram do so.
  std::vector<std::uint32_t>& repeated_;
};

/// Code points in repeated n-grams, for several n of at least `least` words: going from left to right, an n-gram (its
/// words concatenated without blanks) that was met before counts and is skipped as a whole.
class DuplicateNGrams {
 public:
  DuplicateNGrams(Document& document, const Words& words, std::size_t least);
  /// n >= least, and from call to call not smaller. `repeats` receives the first words of the n-grams that counted.
  std::uint64_t code_points(std::size_t n, std::vector<std::uint32_t>* repeats = nullptr);

 private:
  Document& document_;
  const Words& words_;
  // The words one behind another: equal n-grams begin with equal bytes, so only positions whose first kWindow bytes
  // occur twice (or whose shortest n-gram is shorter than that) can begin a repeated one.
  static constexpr std::size_t kWindow = 16;
  std::string& bytes_;                  // all words
  std::vector<std::uint32_t>& starts_;  // where each word starts in bytes_, and the end
  // An n-gram that may be repeated: of its bytes [.., hashed) are hashed already.
  using Span = Document::Scratch::Span;
  std::vector<Span>& spans_;  // by their first words, ascending
};

/// The share of the words' characters that lie in n-grams which occur more than once, each character counted once
/// however many n-grams hold it: in all of them, or in those of one n-gram only, the most frequent one (of equally
/// frequent ones the one that makes the most). No words: 0.
double covered_by_repeated_n_grams(Document& document, const Words& words, std::size_t n, bool only_most_frequent);

}  // namespace curate
