// What a step of the pipeline is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "curate/steps/document.h"

namespace curate {

/// What a threshold is: the largest or the smallest value that stays.
enum class Limit : std::uint8_t { kNone, kMax, kMin };

/// One value beside its threshold, for `explain`, for the drop record and for --keep-values.
struct Measure {
  std::string_view name;  ///< "dup_line_frac"; a reason is the name of the measure that failed, as in datatrove
  double value = 0;
  double threshold = 0;
  bool failed = false;
  Limit limit = Limit::kNone;
};

/// "2.1 < 3": a value beside a threshold.
std::string compared(double value, double threshold);

/// keep, or drop with a reason. A step never throws for bad text.
struct Verdict {
  bool keep = true;
  std::string_view reason;  ///< static storage or owned by the step
  double value = 0, threshold = 0;
};

/// How an option decides: a measure on the wrong side of it fails, and one that is equal to it perhaps too.
struct Threshold {
  std::string measure;
  Limit limit = Limit::kNone;
  bool fails_at = false;
};

/// What `prepare` found: a number for the report, and words where the user should know of it.
struct Note {
  std::string name;  ///< "items_left_out"
  std::uint64_t count = 0;
  std::string text;  ///< empty: nothing to be said
};

/// What a measure counted, for `explain`: a piece of the text, or words where there is no piece to show.
struct Evidence {
  std::string what;       ///< "the 2-gram", "no punctuation at its end"
  std::string_view span;  ///< in the document's text, or in the words' base(); empty: no place
  std::uint64_t times = 1;
  std::uint64_t characters = 0;  ///< code points of one, as the measure counts them; 0: it does not count them
};

/// A step: options (visit), what it needs loaded (prepare), what it decides (apply). After prepare it is immutable and
/// used by many threads at once; per-thread scratch lives in the Document.
class Step : public base::OptionGroup {
 public:
  /// Loads models. Throws base::Error saying what is missing and how to get it. Called once before any data is read.
  virtual void prepare() {}
  /// The files that `prepare` has read: what decides beside the options.
  virtual std::vector<std::string> files() const { return {}; }
  /// The names of the scores that `apply` gives every document.
  virtual std::vector<std::string> scores() const { return {}; }
  /// How `option` decides, of a step that needs a model to find it out by trying.
  virtual std::optional<Threshold> threshold_of(std::string_view /*option*/) const { return std::nullopt; }
  /// What is to be said once `prepare` has run.
  virtual std::vector<Note> notes() const { return {}; }
  /// Decides; may set scores and edit the text. Stops at the first failing measure unless `measures` is given, then
  /// every measure is computed and appended (slower; for explain). The verdict is the same either way.
  virtual Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const = 0;
  /// What `measure` counted in a document that `apply` would see, the weightiest first; for "", what the step does
  /// beside measuring. Found by the helpers that `apply` counts with. Never asked in a run.
  virtual std::vector<Evidence> evidence(Document&, std::string_view /*measure*/) const { return {}; }
};

/// Name -> maker for every step that can stand in `steps:`. `deduplicate` is one of them, but it is run by the settle
/// stage and its apply keeps everything.
const base::GroupRegistry& step_registry();

}  // namespace curate
