// Finds documents that hold items of benchmarks: shared word n-grams, confirmed by aligning the whole item.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "curate/steps/step.h"

namespace curate {

/// Drops a document when an item of a benchmark shares `n` consecutive words with it and at least `min_overlap` of the
/// item's words stand there in order (longest common subsequence of words, in a window around the hit). Words are those
/// of deduplicate's shingles: runs of \w of the lower-cased text, in scripts without spaces single characters. An item
/// is a string of a benchmark's record; one of `min_words` to n - 1 words must stand in the document as a whole, one of
/// fewer than 8 also by itself: between ends of lines or sentences. A shorter one is left out, and counted. The reason
/// is "decontaminate:BENCHMARK", BENCHMARK being the file's name; the label "benchmark_item" says which item
/// (BENCHMARK:LINE).
class Decontaminate : public Step {
 public:
  std::vector<std::string> against, fields;
  std::int64_t n = 13, min_words = 5;
  double min_overlap = 0.6;

  void visit(base::OptionVisitor& v) override;
  /// Reads the benchmarks; throws Error at a record that cannot be read, and for a file without a text.
  void prepare() override;
  std::vector<std::string> files() const override { return files_; }
  std::vector<Note> notes() const override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;

  std::size_t items() const { return items_.size(); }

 private:
  struct Item {
    std::uint32_t benchmark;
    std::uint64_t line;
    std::vector<std::uint64_t> words;  // hashes
  };
  struct Gram {  // n (or all) words of an item
    std::uint64_t hash;
    std::uint32_t item, position;
  };
  struct Text;
  void add_item(std::string_view text, std::uint32_t benchmark, std::uint64_t line);
  double overlap(const Item& item, const std::vector<std::uint64_t>& words, std::size_t begin) const;

  std::uint64_t left_out_ = 0;            // items of fewer than min_words words
  std::uint64_t repeated_keys_ = 0;       // records of benchmarks that had a key twice
  std::uint64_t records_without_ = 0;     // records of benchmarks in which no text was taken
  std::vector<std::string> input_notes_;  // what there is to say of the files
  std::vector<std::string> files_, benchmarks_, reasons_;
  std::vector<Item> items_;
  std::vector<Gram> grams_;            // sorted by hash
  std::vector<std::uint64_t> filter_;  // a bit for each gram's hash
  std::vector<std::size_t> lengths_;   // of grams: n, and those of shorter items
};

}  // namespace curate
