// The options of `curate run`, and what they amount to: a plan of stages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/program.h"
#include "base/records.h"
#include "curate/records/record.h"
#include "curate/steps/deduplicate.h"
#include "curate/steps/step.h"

namespace curate {

/// How records are read; shared by every command that reads documents.
struct InputOptions {
  std::vector<std::string> input;
  std::string text_field, id_field, source_field, date_field;
  std::string split = "file";
  base::TextOptions text;
  std::uint64_t limit = 0;
  base::ByteSize max_record{256u << 20};
  int threads = 0;

  void visit(base::OptionVisitor& v);
  /// The files that `input` names, in order; what there is to say about them goes to context.err. Throws
  /// base::UsageError when there are none.
  std::vector<std::string> files(const base::Context& context) const;
  /// limit, split, max_record, encoding, delimiter, and the key that the documents of .txt files get.
  base::RecordOptions records() const;
  /// The fields that were named; detect_fields finds out the others.
  FieldNames fields() const { return {text_field, id_field, source_field, date_field}; }
};

/// The option `nan`, "keep" or "null", of commands that deliver records.
void visit_nan(base::OptionVisitor& v, std::string& nan);

struct RunOptions {
  InputOptions reading;
  std::string output;
  std::vector<base::NamedGroup> steps;
  std::string format = "jsonl";  ///< of kept/
  std::string nan = "keep";      ///< what NaN and Infinity become
  std::string dropped = "full";  ///< what dropped/ holds
  base::ByteSize shard_size{256u << 20}, memory;
  std::uint64_t search_memory =
      0;  ///< bytes for finding duplicates, 0 = what `memory` leaves; not an option, for tests
  int level = 3;
  base::Tolerance max_bad{10000};
  std::uint64_t dry_run = 0;
  double checkpoint_seconds = 10;
  bool keep_values = false, resume = false, overwrite = false;

  void visit(base::OptionVisitor& v) { visit(v, true); }
  /// `writes`: `output` is a folder to be written, not only one that a config names.
  void visit(base::OptionVisitor& v, bool writes);
};

/// Prepares every step, and says on context.err what the steps have to say.
void prepare_steps(const std::vector<base::NamedGroup>& steps, base::Context& context);

/// A step that decides on its own, with the label it is counted under.
struct Rule {
  std::string label;
  Step* step;
};

/// What happens between one reading of the records and the next: rules, then perhaps the search for duplicates.
struct StagePlan {
  std::vector<Rule> rules;
  Deduplicate* deduplicate = nullptr;
  std::string label;  ///< of the deduplicate step
};

/// Splits the steps behind every deduplicate. At least one stage; the last one has no `deduplicate`, so a pipeline that
/// ends with it has a last stage without rules, which only copies.
std::vector<StagePlan> plan_stages(const std::vector<base::NamedGroup>& steps);

}  // namespace curate
