// The step `deduplicate`.
#pragma once

#include "curate/dedup/fingerprint.h"
#include "curate/steps/step.h"

namespace curate {

/// `deduplicate` in `steps:`. It is run by the settle stage; apply keeps everything.
class Deduplicate : public Step, public DuplicateOptions {
 public:
  void visit(base::OptionVisitor& v) override;
  /// Throws UsageError when `keep` lacks the option that it needs.
  void prepare() override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
};

}  // namespace curate
