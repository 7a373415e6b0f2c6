// The labelled records that a scorer learns from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/input_tally.h"
#include "base/options.h"

namespace curate {

struct TrainScorerOptions {
  std::vector<std::string> input;
  base::TextOptions text;
  std::string output;
  std::string kind = "style";
  std::string text_field = "text", label_field = "quality", group_field = "source", split_field;
  std::vector<std::string> good = {"2", "3"}, bad = {"0"}, where;
  std::int64_t per_group = 400;
  double held_out = 0.1, unseen_groups = 0.25;
  std::int64_t seed = 0;
  double target_precision = 0.9;
  std::string note;
  int dimension = 32, epochs = 8, word_ngrams = 2, min_count = 3, buckets = 200000;
  double learning_rate = 0.3;
  bool quantise = true;
  std::int64_t max_rows = 20000;

  void visit(base::OptionVisitor& v);
};

/// One labelled document, as the scorer sees it.
struct LabelledText {
  std::string line;         ///< scorer_text for fastText; for the style model the text itself
  std::string group;        ///< "" when there is none
  std::uint64_t place = 0;  ///< a hash that decides about splits, the same for the same text and seed
  bool good = false;
  bool test = false;  ///< held out by split_field or by place
};

struct LabelledRecords {
  std::vector<LabelledText> texts;
  std::uint64_t unreadable = 0;                       ///< what is no record
  std::uint64_t repeated_keys = 0;                    ///< records that had a key twice
  std::map<std::string, std::uint64_t> other_labels;  ///< that are neither good nor bad; 1000 of them
  std::vector<base::FileLoss> losses;                 ///< files with no record that has both fields, or cut off
};

/// Reads and labels the records: of each group and label all, or the per_group with the smallest `place`, so that the
/// choice does not depend on the order of the input. Fields may be paths ("meta.quality"); a label counts whatever form
/// it has: 2, 2.0 and "2" are the same.
LabelledRecords read_labelled(const TrainScorerOptions& options);

}  // namespace curate
