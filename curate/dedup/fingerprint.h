// Exact and near-duplicates: what each document leaves behind, and which documents are dropped for which.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "curate/dedup/minhash.h"
#include "curate/text/spacy_words.h"

namespace curate {

/// What counts as a duplicate, and which of several is kept: the options of the step `deduplicate`.
struct DuplicateOptions {
  double threshold = 0.8;
  std::string keep = "first";
  std::string shingle = "character";
  int words = 5;
  bool near = true;
  std::string score = "textbook";
  std::vector<std::string> sources;
  std::string pairs;
  std::int64_t max_candidates = 500;
};

/// What one document leaves behind for the settle stage; written to disk as it stands.
struct Fingerprint {
  std::uint64_t content[2] = {};  ///< XXH3 128 of the text: equal means the same text
  BandKeys bands = {};
  std::uint64_t shingles = 0;    ///< positions; 0: no word, compared exactly only
  std::uint64_t preference = 0;  ///< larger is kept; see preference_of
  std::uint64_t id_hash = 0;
  std::uint64_t place = 0;  ///< where the caller finds the document again
};

/// A text as shingles see it.
struct ShingledText {
  std::string text;                     ///< lower-cased, or what datatrove's simplify_text leaves
  std::vector<std::uint64_t> shingles;  ///< hashes, in text order
  std::vector<WordPlace> places;        ///< of each shingle
};
/// Pieces of `text` that hold the shingles which `other` does not have, in order; at most `most`.
std::vector<std::string_view> only_in(const ShingledText& text, const ShingledText& other, std::size_t most);

/// Makes fingerprints and shingle sets under one set of options. Keeps its buffers; one per thread.
class Fingerprinter {
 public:
  explicit Fingerprinter(const DuplicateOptions& options);
  Fingerprint fingerprint(std::string_view text, std::string_view id);
  /// The shingles that `fingerprint` has just hashed, in text order.
  std::span<const std::uint64_t> last_shingles() const { return last_; }
  /// The set that verification compares.
  void shingle_set(std::string_view text, std::vector<std::uint64_t>& set);
  /// The shingles with their places, to show them.
  ShingledText shingled(std::string_view text);

 private:
  std::span<const std::uint64_t> shingles_of(std::string_view text);
  const DuplicateOptions& options_;
  Shingler shingler_;
  std::string simplified_;
  SpacyWords words_;
  std::vector<std::uint64_t> word_hashes_;
  std::span<const std::uint64_t> last_;
};

/// Why a document is dropped: `of` is kept and has at least the threshold's Jaccard with it (1 for the same text).
struct Duplicate {
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  std::uint32_t of = kNone;
  bool exact = false;  ///< the same text
  double jaccard = 0;
  bool dropped() const { return of != kNone; }
};

}  // namespace curate
