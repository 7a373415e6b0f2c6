// `curate train-scorer`: a textbook scorer from labelled records.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/program.h"

namespace curate {

struct TrainScorerOptions {
  std::vector<std::string> input;
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

/// Reads and labels the records: of each group and label all, or the per_group with the smallest `place`, so that the
/// choice does not depend on the order of the input. Fields may be paths ("meta.quality"); a label counts whatever form
/// it has: 2, 2.0 and "2" are the same. Adds what is no record to `unreadable`, and the labels that are neither good
/// nor bad to `other_labels`.
std::vector<LabelledText> read_labelled(const TrainScorerOptions& options, std::uint64_t& unreadable,
                                        std::map<std::string, std::uint64_t>* other_labels = nullptr);
/// Trains on one thread, the same bytes for the same texts and options, and writes `model` (.ftz when quantised).
void train_scorer_model(const TrainScorerOptions& options, std::span<const LabelledText* const> texts,
                        const std::filesystem::path& model);
/// The probability that a good document scores higher than a bad one, ties counted half. NaN without both kinds.
double area_under_curve(std::span<const double> good, std::span<const double> bad);

base::Command train_scorer_command();

}  // namespace curate
