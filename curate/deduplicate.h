// Exact and near-duplicates: what each document leaves behind, and which documents are dropped for which.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "curate/minhash.h"
#include "curate/step.h"
#include "curate/words.h"

namespace curate {

/// `deduplicate` in `steps:`. It is run by the settle stage; apply keeps everything.
class Deduplicate : public Step {
 public:
  double threshold = 0.8;
  std::string keep = "first";
  std::string shingle = "word";
  int words = 5;
  bool near = true;
  std::string score = "textbook";
  std::vector<std::string> sources;
  std::string pairs;

  void visit(base::OptionVisitor& v) override;
  void prepare() override;  ///< throws UsageError for a threshold or word count out of range
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
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

/// Makes fingerprints and shingle sets under one step's options. Keeps its buffers; one per thread.
class Fingerprinter {
 public:
  explicit Fingerprinter(const Deduplicate& options);
  Fingerprint fingerprint(std::string_view text, std::string_view id);
  /// The shingles that `fingerprint` has just hashed, in text order.
  std::span<const std::uint64_t> last_shingles() const { return last_; }
  /// The set that verification compares.
  void shingle_set(std::string_view text, std::vector<std::uint64_t>& set);

 private:
  std::span<const std::uint64_t> shingles_of(std::string_view text);
  const Deduplicate& options_;
  Shingler shingler_;
  std::string simplified_;
  Words words_;
  std::vector<std::uint64_t> word_hashes_;
  std::span<const std::uint64_t> last_;
};

/// What `keep` compares. `characters` is the length in code points, `score` the named score (NaN: none), `date` the
/// record's date as written (ISO 8601, a year, or seconds since 1970).
std::uint64_t preference_of(const Deduplicate& options, std::uint64_t characters, double score, std::string_view date,
                            std::string_view source);

/// Why a document is dropped: `of` is kept and has at least the threshold's Jaccard with it (1 for the same text).
struct Duplicate {
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  std::uint64_t of = kNone;
  double jaccard = 0;
  bool exact = false;  ///< the same text
  bool dropped() const { return of != kNone; }
};

/// A verified pair of LSH candidates, by index.
struct DuplicatePair {
  std::uint64_t a, b;
  double jaccard;
};

/// The sorted distinct shingle hashes of document `index`, asked for by worker `worker`.
using ShingleSets = std::function<void(std::size_t index, int worker, std::vector<std::uint64_t>& set)>;

/// Decides for every document. Same text first: of each text the preferred copy stands for all. Then stars: documents
/// in order of preference; one is dropped when its exact Jaccard with an already kept candidate reaches the threshold
/// (of several, the highest; then the most preferred), else kept. Never transitive: a dropped document drops no other.
/// The order of preference is `preference`, then for `first` and `source_order` the index, for other policies content,
/// id and index, so that the kept texts do not depend on the order of the input. With `pairs` every candidate pair is
/// verified (quadratic in a cluster) and reported, a < b, sorted. The result does not depend on `threads`.
std::vector<Duplicate> find_duplicates(std::span<const Fingerprint> prints, const Deduplicate& options, int threads,
                                       const ShingleSets& sets, std::vector<DuplicatePair>* pairs = nullptr);

/// Writes {"a","b","jaccard"} lines, ids looked up by `id_of`.
void write_pairs(const std::string& path, const std::vector<DuplicatePair>& pairs,
                 const std::function<std::string(std::uint64_t)>& id_of);

}  // namespace curate
