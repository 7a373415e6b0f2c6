// One stage of a run, block by block: records in; kept, dropped, quarantined or spilled ones out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/input_tally.h"
#include "base/records.h"
#include "curate/records/field_reader.h"
#include "curate/records/record.h"
#include "curate/stages/run_options.h"
#include "curate/stages/spill.h"
#include "curate/stages/statistics.h"
#include "curate/steps/deduplicate.h"

namespace curate {

/// Lines for one of the output folders; `bytes` is compressed once the block is done.
struct Piece {
  std::string bytes;
  std::uint64_t raw = 0, records = 0;
  std::string packed;  ///< while the block is worked on: earlier bytes, compressed already
};

/// What became of one block.
struct BlockResult {
  Piece kept, dropped, quarantined;
  std::string spilled;              ///< a spill block, or nothing
  std::vector<Fingerprint> prints;  ///< one a spilled document; `place` counts from the first entry of `spilled`
  Statistics statistics;
  base::InputTally files;  ///< what each gave
};

/// What does not change during a stage.
struct StageSetup {
  StagePlan plan;
  std::vector<FieldNames> fields;         ///< by number of the set; for all stages but the first
  std::vector<std::string> files, names;  ///< names: as base::input_names
  int level = 3;
  bool nan_is_null = false;   ///< what is not finite in a record is delivered as null
  bool keep_values = false;   ///< every measure of every rule goes under the hornbook key
  bool only_reasons = false;  ///< dropped/ gets ids, sources and reasons, not whole records
  bool last = true;           ///< survivors are kept; else they are spilled with a fingerprint
  // What the stage before left, for all stages but the first:
  const SpillReader* spill = nullptr;
  std::span<const Duplicate> duplicates;
  const PrintsReader* prints = nullptr;  ///< of the documents in `spill`
  std::string duplicate_label;
};

/// The work of one thread. Not shared between threads.
class StageWorker {
 public:
  explicit StageWorker(const StageSetup& setup);
  ~StageWorker();
  BlockResult read(DocumentBlock documents);            ///< first stage
  BlockResult reread(const SpillReader::Block& block);  ///< later stages

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The text of a spilled document: the edited one, else parsed out of its record. Lives until the parser's next call.
std::string_view spilled_text(const SpillReader::Buffer& buffer, const SpillEntry& entry,
                              const std::vector<FieldNames>& fields, RecordParser& parser);

}  // namespace curate
