// A packed row for people: its documents, and which of their tokens are trained.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "finetune/data/data_report.h"
#include "finetune/data/examples.h"
#include "finetune/data/packing.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

/// What is trained is green on a terminal (`colour`), else in white square brackets; each document begins with a line
/// that names the record it came from. `has_verdicts`: the examples are those of with_mismatches.
std::string shown_row(const Examples& examples, const RowPlan& row, const DataReport& report,
                      const tokenizer::Tokenizer& tokenizer, bool colour, bool has_verdicts = false);

/// The same for scripts: of each document the record, ids, targets (-100: not trained) and text.
nlohmann::ordered_json row_json(const Examples& examples, const RowPlan& row, const DataReport& report,
                                const tokenizer::Tokenizer& tokenizer, bool has_verdicts = false);

}  // namespace finetune
