// Training the textbook model (curate/scorer/textbook_model.h) from labelled texts, and measuring it on sources it
// never saw.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "curate/scorer/textbook_model.h"
#include "curate/train/evaluation.h"
#include "curate/train/textbook_learners.h"

namespace curate {

struct TextbookTraining {
  int words = 1000;  ///< general words: those found in most groups
  double cost = 10;  ///< of a mistake of the gram head, against the size of its weights
  int passes = 15;   ///< over the documents, for the gram head
  TreeOptions trees;
  double group_power = 0.5;       ///< a document of a group of n counts n^-power: large groups do not drown small ones
  int folds = 4;                  ///< parts that the groups are dealt into; each is scored by a model that never saw it
  double held_out = 0.1;          ///< share of documents held out once, for the AUC on unseen documents; 0: none
  double target_precision = 0.9;  ///< the recommended threshold reaches it on groups never seen
  std::uint64_t seed = 0;
  std::string note;  ///< stored in the model
};

struct TextbookDocument {
  std::string text;
  std::string group;  ///< its source; "" when unknown: then the document is a group of its own
  bool good = false;
  bool held_out = false;  ///< held out for the AUC on unseen documents; with none set, chosen by hash
};

/// What one threshold means on groups never seen. Both classes weigh the same.
struct ScoreThreshold {
  double min_score = 0, precision = 0, recall = 0, bad_kept = 0;
};
struct TextbookReport {
  std::size_t good = 0, bad = 0, groups = 0;
  std::size_t held_out = 0;           ///< documents behind the next number
  double unseen_documents_auc = 0;    ///< NaN when none were held out
  double unseen_groups_auc = 0;       ///< of every document, scored by the model that did not see its group
  std::vector<double> fold_auc;       ///< the same within each fold
  double length_correlation = 0;      ///< of score and log length within a class, the mean of both classes
  std::vector<ScoreBin> calibration;  ///< by tenths of the score
  std::vector<ScoreThreshold> thresholds;
  double recommended = 0.5;  ///< the lowest threshold of 0.01 steps with the target precision, 1 if none
};

/// Every document is learned twice: as it is, and as a short excerpt, half of them with other line breaks; so neither
/// length nor layout decides. Scrambled excerpts of good documents are learned as bad ones. The same bytes for the same
/// documents in any order. Throws Error when there are not both kinds in at least two groups. Memory: the documents'
/// features, about 12 kB each.
TextbookModel train_textbook(std::span<const TextbookDocument> documents, const TextbookTraining& options,
                             TextbookReport& report);

nlohmann::json to_json(const TextbookReport& report);
/// The same for a person.
void print(std::ostream& out, const TextbookReport& report);

}  // namespace curate
