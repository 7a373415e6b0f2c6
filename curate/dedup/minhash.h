// Shingles and MinHash signatures: how near-duplicates are proposed (Broder 1997; banding: Leskovec et al., ch. 3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace curate {

/// 14 bands of 8 rows, as FineWeb: two texts of Jaccard s share a band with probability 1 - (1 - s^8)^14, which is
/// .924 at .8, .988 at .85 and .999 at .9.
inline constexpr int kBands = 14, kRows = 8, kPermutations = kBands * kRows;

/// The smallest value of each permutation over a document's shingles.
using Signature = std::array<std::uint32_t, kPermutations>;
using BandKeys = std::array<std::uint64_t, kBands>;

/// Where a word or a shingle stands: its bytes are [begin, end) of the text.
struct WordPlace {
  std::size_t begin, end;
};

/// Turns texts into 64-bit shingle hashes. Keeps its buffers; one per thread.
class Shingler {
 public:
  /// Shingles of `words` consecutive words; a word is a run of Python's `\w` in the lower-cased text. With `characters`
  /// each letter, mark or number of a script without spaces (unspaced.h) is a word of its own, and no shingle holds
  /// both: such characters in a row, whatever is no word between them, are a run, and so are the words between two.
  explicit Shingler(int words = 5, bool characters = false);
  /// The hashes in text order, repeats included. Of each run one per position, a single one for 1 to words-1 words;
  /// none for no word. Valid UTF-8 in; the span lives until the next call.
  std::span<const std::uint64_t> shingles(std::string_view text);
  /// The same of a text that is lower-cased already (base::to_lower), and where each shingle stands in it.
  std::span<const std::uint64_t> shingles(std::string_view lower, std::vector<WordPlace>& places);
  /// The same for words that were split and hashed elsewhere, and stand at `words` where `places` is wanted.
  std::span<const std::uint64_t> shingles(std::span<const std::uint64_t> word_hashes,
                                          std::span<const WordPlace> words = {},
                                          std::vector<WordPlace>* places = nullptr);

 private:
  void clear();
  void add(std::uint64_t hash, bool is_character);
  std::span<const std::uint64_t> roll(std::span<const WordPlace> words, std::vector<WordPlace>* places);
  int words_;
  bool characters_;
  std::uint64_t leaving_;  // kBase^words: the weight of the word that leaves the window
  std::vector<std::uint64_t> word_hashes_, shingles_;
  std::vector<std::size_t> run_ends_;  // of all runs but the one that is open, in words
  bool in_characters_ = false;
};

/// The words of a text that is lower-cased already, as shingles are made of them: hashes and places, in order.
/// `characters` as of Shingler.
void shingle_words(std::string_view lower, bool characters, std::vector<std::uint64_t>& hashes,
                   std::vector<WordPlace>& places);

/// Sorts and makes distinct: the set whose Jaccard is computed.
void make_set(std::vector<std::uint64_t>& shingles);
/// |a ∩ b| / |a ∪ b| of two sets (sorted, distinct); 0 for two empty ones. Stops early, returning -1, once the result
/// must lie below `at_least`.
double jaccard(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b, double at_least = 0);

/// The signature of a document; every shingle counts. Permutation i is x -> a_i * high32(x) + b_i mod 2^32 with odd
/// a_i, which is a bijection of 32 bits; the same on every machine. Without shingles all values are 2^32-1.
Signature sign(std::span<const std::uint64_t> shingles);
/// The same by a named kernel: "portable", "avx2", "avx512"; throws Error when this processor lacks it. For tests.
Signature sign_with(std::string_view kernel, std::span<const std::uint64_t> shingles);
std::vector<std::string> sign_kernels();  ///< the kernels that this processor can run

/// One 64-bit key for each band of 8 rows; the band's number is part of the key.
BandKeys band_keys(const Signature& signature);

}  // namespace curate
