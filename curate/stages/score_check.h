// Whether there is the score that a `deduplicate` compares.
#pragma once

#include <deque>
#include <vector>

#include "base/options.h"
#include "curate/records/field_reader.h"

namespace curate {

/// Throws UsageError where a `deduplicate` with keep: best_score names a score that no step before it gives and that
/// none of the `first` records carries under its hornbook key.
void check_scores(const std::vector<base::NamedGroup>& steps, const std::deque<DocumentBlock>& first);

}  // namespace curate
