// Records -> examples: one streaming pass over the files.
#pragma once

#include <string>
#include <vector>

#include "finetune/data/data_report.h"
#include "finetune/data/example.h"
#include "finetune/data/example_maker.h"

namespace finetune {

struct Dataset {
  std::vector<Example> examples;  ///< input order
  DataReport report;
};

/// Reads `files` (as from base::expand_inputs). Throws base::Error when more than max_bad records are bad, when a
/// file gives nothing or is cut off, and when nothing is left to train on.
Dataset read_dataset(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options);

}  // namespace finetune
