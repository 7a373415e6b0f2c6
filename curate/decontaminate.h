// Finds documents that hold items of benchmarks: shared word n-grams, confirmed by aligning the whole item.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "curate/step.h"

namespace curate {

/// Drops a document when an item of a benchmark shares `n` consecutive words with it and at least `min_overlap` of the
/// item's words stand there in order (longest common subsequence of words, in a window around the hit). A word is a run
/// of \w of the lower-cased text. An item is a string of a benchmark's record; one of `min_words` to n - 1 words must
/// stand in the document as a whole, a shorter one is left out. The reason is "decontaminate:BENCHMARK", BENCHMARK
/// being the file's name; the label "benchmark_item" says which item (BENCHMARK:LINE).
class Decontaminate : public Step {
 public:
  std::vector<std::string> against, fields;
  std::int64_t n = 13, min_words = 8;
  double min_overlap = 0.6;

  void visit(base::OptionVisitor& v) override;
  void prepare() override;  ///< reads the benchmarks; throws Error at a record that cannot be read
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;

  std::size_t items() const { return items_.size(); }

 private:
  struct Item {
    std::uint32_t benchmark;
    std::uint64_t line;
    std::vector<std::uint64_t> words;  ///< hashes
  };
  struct Gram {  ///< n (or all) words of an item
    std::uint64_t hash;
    std::uint32_t item, position;
  };
  void add_item(std::string_view text, std::uint32_t benchmark, std::uint64_t line);
  double overlap(const Item& item, const std::vector<std::uint64_t>& words, std::size_t begin) const;

  std::vector<std::string> benchmarks_, reasons_;
  std::vector<Item> items_;
  std::vector<Gram> grams_;            ///< sorted by hash
  std::vector<std::uint64_t> filter_;  ///< a bit for each gram's hash
  std::vector<std::size_t> lengths_;   ///< of grams: n, and those of shorter items
};

/// The hashes of a text's words, in order.
void hash_benchmark_words(std::string_view text, std::vector<std::uint64_t>& hashes);

}  // namespace curate
