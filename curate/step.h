// What a step of the pipeline is.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "curate/document.h"

namespace curate {

/// One value beside its threshold, for `explain`, for the drop record and for --keep-values.
struct Measure {
  std::string_view name;  ///< "dup_line_frac"; a reason is the name of the measure that failed, as in datatrove
  double value = 0;
  double threshold = 0;
  bool failed = false;
};

/// keep, or drop with a reason. A step never throws for bad text.
struct Verdict {
  bool keep = true;
  std::string_view reason;  ///< static storage or owned by the step
  double value = 0, threshold = 0;
};

/// A step: options (visit), what it needs loaded (prepare), what it decides (apply). After prepare it is immutable and
/// used by many threads at once; per-thread scratch lives in the Document.
class Step : public base::OptionGroup {
 public:
  /// Loads models. Throws base::Error saying what is missing and how to get it. Called once before any data is read.
  virtual void prepare() {}
  /// Decides; may set scores and edit the text. Stops at the first failing measure unless `measures` is given, then
  /// every measure is computed and appended (slower; for explain). The verdict is the same either way.
  virtual Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const = 0;
};

/// Name -> maker for every step that can stand in `steps:`. `deduplicate` is one of them, but it is run by the settle
/// stage and its apply keeps everything.
const base::GroupRegistry& step_registry();

}  // namespace curate
