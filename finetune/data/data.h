// Records -> examples: one streaming pass over the files.
#pragma once

#include <string>
#include <vector>

#include "finetune/data/data_report.h"
#include "finetune/data/example_maker.h"
#include "finetune/data/examples.h"

namespace finetune {

struct Dataset {
  Examples examples;  ///< input order
  DataReport report;
};

/// Reads `files` (as from base::expand_inputs) into `writer`, all but its end. Throws base::Error when a file gives
/// nothing or is cut off.
DataReport write_examples(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options,
                          PreparedWriter& writer);

/// What was written, with a report that names `files`. Throws base::Error when more than max_bad records are bad, and
/// when nothing is left to train on.
Dataset checked_dataset(std::shared_ptr<const PreparedData> data, const std::vector<std::string>& files,
                        const DataOptions& options);

/// Both, in memory.
Dataset read_dataset(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options);

}  // namespace finetune
