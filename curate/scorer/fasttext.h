// Classifiers in fastText's .bin and .ftz files (format: facebookresearch/fastText 0.9.2, version 11 and 12).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/huge_pages.h"

namespace curate {

/// A model file, mapped: a dense input matrix of gigabytes is never read as a whole. Every size in the file is checked
/// when it is opened. Immutable afterwards; used by many threads, each with its own Scratch.
class FastText {
 public:
  /// The input matrix is copied to memory, quantised rows expanded, when that takes at most so many bytes.
  static constexpr std::size_t kExpandLimit = 64u << 20;

  /// Throws Error (file@offset) when the file is no supervised model, is cut off, contradicts itself, or holds numbers
  /// that are not finite in what is copied to memory.
  explicit FastText(const std::filesystem::path& path, std::size_t expand_limit = kExpandLimit);

  /// Buffers of one thread, 20 MB with a model of character n-grams; also remembers the rows of words it has met, so
  /// keep it with one model.
  class Scratch {
    friend class FastText;
    /// One word met before, and its rows; more than five stand in rows_of_known_, from rows[0] on.
    struct alignas(32) Known {
      static constexpr std::uint32_t kEmpty = ~0u, kIgnored = ~0u - 1;
      std::uint64_t key = 0;
      std::uint32_t count = kEmpty;
      std::int32_t rows[5] = {};
    };
    /// Four bytes of ASCII, zeros behind the end of a word, and the rows of the n-grams that begin at the first of
    /// them. Their number stands in the top bits of the two lower bytes.
    struct Start {
      std::uint32_t bytes = 0;
      std::int32_t rows[3] = {};
    };
    base::HugeVector<Known> known_;
    base::HugeVector<std::int32_t> rows_of_known_, rows_;
    std::vector<std::int32_t> hashes_;
    base::HugeVector<Start> starts_;
    std::size_t known_end_ = 0, row_end_ = 0;  ///< used so far of rows_of_known_ and rows_
    std::vector<float> hidden_, output_;
    std::uint64_t row_count_ = 0;  ///< added to hidden_
    std::vector<std::pair<std::int32_t, float>> open_nodes_;
    std::uint64_t owner_ = 0;  ///< serial number of the model whose words are remembered
  };

  /// Without "__label__", in the file's order.
  const std::vector<std::string>& labels() const { return labels_; }
  /// The index of a label (with or without "__label__"), or -1.
  int label(std::string_view name) const;
  std::int64_t dimension() const { return input_.columns; }
  const std::filesystem::path& path() const { return file_.path(); }

  /// One probability for each label: what fastText's Python predict(text, k=-1) gives for the text with every "\n"
  /// replaced by " ". As there, exp(log(p + 1e-5)) is returned, so the sum is a little above 1; a label that fastText
  /// leaves out has 0, and so have all when no part of the text is known. Never throws for a text; Error when numbers
  /// of a mapped input matrix are not finite.
  std::span<const float> predict(std::string_view text, Scratch& scratch) const {
    return score(text, scratch, nullptr);
  }

  /// Labels of one model whose probabilities are wanted.
  class Selection {
    friend class FastText;
    std::vector<bool> nodes_;  ///< of the tree: on the way to a wanted label
  };
  Selection select(std::span<const int> labels) const;
  /// As above, but only the probabilities of the likeliest label and of the wanted ones; others may be 0 instead.
  std::span<const float> predict(std::string_view text, Scratch& scratch, const Selection& wanted) const {
    return score(text, scratch, &wanted);
  }

  /// The kernels that sum rows, by name ("portable", "avx2", "avx512"), that this machine can run; the last one is
  /// used. `count` rows of `columns` floats at `matrix` are added to `sum` one after another.
  struct Kernel {
    const char* name;
    void (*add_rows)(const std::byte* matrix, std::size_t columns, const std::int32_t* rows, std::size_t count,
                     float* sum);
  };
  static std::span<const Kernel> kernels();

 private:
  enum class Loss { kHierarchicalSoftmax = 1, kNegativeSampling = 2, kSoftmax = 3, kOneVsAll = 4 };
  struct Matrix {
    std::int64_t rows = 0, columns = 0;
    bool quantised = false, norms = false;
    const std::byte* values = nullptr;  // dense: floats, not aligned
    const std::uint8_t *codes = nullptr, *norm_codes = nullptr;
    std::int32_t parts = 0, part_size = 0, last_size = 0;  // of a quantised row
    std::vector<float> centroids, norm_centroids;
    base::HugeVector<float> expanded;  // the rows as floats, when they fit the limit
  };
  struct Node {
    std::int32_t left = -1, right = -1;
    std::int64_t count = 0;
  };
  class Reader;

  void read_dictionary(Reader& in);
  void check();
  Matrix read_matrix(Reader& in, bool quantised);
  void build_tree(const std::vector<std::int64_t>& counts);
  static void expand_row(const Matrix& matrix, std::int64_t row, float* values, bool with_norm);

  std::int32_t find_word(std::uint64_t key) const;
  std::uint32_t place_of_kept(std::uint32_t bucket) const;
  template <bool kPopcount>
  std::int32_t* add_bucket(std::uint32_t bucket, std::int32_t* rows) const;
  std::int32_t* add_subwords(std::string_view padded, std::size_t begin, std::size_t end, std::int32_t* rows,
                             base::HugeVector<Scratch::Start>& starts) const;
  template <bool kPopcount>
  std::int32_t* add_n_grams(std::string_view padded, std::size_t begin, std::size_t end, std::int32_t* rows) const;
  std::int32_t* add_with_popcount(std::string_view padded, std::size_t begin, std::size_t end,
                                  std::int32_t* rows) const;
  std::int32_t* add_new_subwords(std::string_view padded, std::size_t begin, std::size_t end, std::int32_t* rows) const;
  void add_word(std::string_view word, std::uint64_t key, Scratch& scratch) const;
  void learn_word(std::string_view word, std::uint64_t key, Scratch& scratch, Scratch::Known& known) const;
  void add_plain_word(std::string_view word, std::uint64_t key, Scratch& scratch) const;
  void add_long_word(std::string_view word, Scratch& scratch) const;
  void add_text(std::string_view text, Scratch& scratch) const;
  void sum_rows(Scratch& scratch) const;
  std::span<const float> score(std::string_view text, Scratch& scratch, const Selection* wanted) const;
  void score_tree(Scratch& scratch, const Selection* wanted) const;
  float dot(std::int32_t output_row, const std::vector<float>& hidden) const;
  [[noreturn]] void refuse_number() const;

  base::MappedFile file_;
  std::uint64_t serial_;
  std::int32_t dim_ = 0, word_ngrams_ = 1, bucket_ = 0, minn_ = 0, maxn_ = 0;
  Loss loss_ = Loss::kSoftmax;
  std::int32_t word_count_ = 0, label_count_ = 0;
  std::int64_t prune_size_ = -1;
  std::uint64_t bucket_inverse_ = 0;  // for h % bucket without a division
  struct Slot {
    std::uint64_t key = 0;
    std::int32_t id = -1;
  };
  struct KeptBuckets {  // which of 64 buckets were kept when the model was pruned, and how many before them
    std::uint64_t bits = 0;
    std::uint32_t before = 0;
  };
  base::HugeVector<Slot> slots_;         // words and labels by hash_word
  std::vector<std::string_view> words_;  // words and labels, in the mapped file
  base::HugeVector<KeptBuckets> kept_;
  base::HugeVector<std::int32_t> kept_rows_;  // rows of the kept buckets in order, and one more
  std::vector<std::string> labels_;
  std::vector<std::int64_t> label_counts_;
  Matrix input_, output_;
  std::vector<float> output_rows_, output_norms_;  // the output matrix as floats
  std::vector<Node> tree_;
};

}  // namespace curate
