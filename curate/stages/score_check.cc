// Whether there is the score that a `deduplicate` compares. Tested by tests/curate/preference_test.cc.
#include "curate/stages/score_check.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/json_record.h"
#include "base/suggestions.h"
#include "base/text.h"
#include "curate/records/record.h"
#include "curate/steps/deduplicate.h"

namespace curate {
namespace {

// Also true where there is no record.
bool is_carried(const std::string& score, const std::deque<DocumentBlock>& first) {
  base::JsonRecord record;
  bool any = false, carried = false;
  for (const DocumentBlock& documents : first)
    base::for_each_line(documents.block, [&](std::string_view line, const base::Place&) {
      if (carried || !record.parse(line).empty()) return;
      any = true;
      carried = !std::isnan(carried_score(record.line(), score));
    });
  return carried || !any;
}

}  // namespace

void check_scores(const std::vector<base::NamedGroup>& steps, const std::deque<DocumentBlock>& first) {
  std::vector<std::string> given;
  for (const base::NamedGroup& entry : steps) {
    for (std::string& name : dynamic_cast<const Step&>(*entry.group).scores()) given.push_back(std::move(name));
    const auto* deduplicate = dynamic_cast<const Deduplicate*>(entry.group.get());
    if (deduplicate == nullptr || deduplicate->keep != "best_score") continue;
    const std::string& score = deduplicate->score;
    if (std::ranges::find(given, score) != given.end() || is_carried(score, first)) continue;
    const std::string near = base::nearest(score, given);
    throw base::UsageError({"no step before it gives this score, and the first records do not carry it",
                            entry.label + ".score", score,
                            given.empty() ? "a step such as textbook before it, or records of 'curate score'"
                                          : "one of " + base::join(given, ", "),
                            near.empty() ? "" : "did you mean '" + near + "'?"});
  }
}

}  // namespace curate
