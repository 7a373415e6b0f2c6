// What is said of data before they are used.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "finetune/data/data_report.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

/// What there is to know of data, a line each: the first records of each fate by file and line, what is trained.
std::vector<std::string> findings(const DataReport& report, const tokenizer::Tokenizer& tokenizer);

/// The same for scripts.
nlohmann::ordered_json summary_of(const DataReport& report);

}  // namespace finetune
