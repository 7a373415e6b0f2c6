// What is said of data before they are used.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "finetune/data/data_report.h"
#include "finetune/data/example_maker.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

/// What there is to know of data that `options` read, a line each: the first records of each fate by file and line,
/// what is trained, which options changed nothing.
std::vector<std::string> findings(const DataReport& report, const tokenizer::Tokenizer& tokenizer,
                                  const MakerOptions& options);

/// The same for scripts.
nlohmann::ordered_json summary_of(const DataReport& report);

}  // namespace finetune
