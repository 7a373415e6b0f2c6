// Records that a model is measured on, as `finetune eval` and `finetune weigh` read them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/program.h"
#include "base/tolerance.h"
#include "finetune/data/data.h"
#include "finetune/model/load.h"

namespace finetune {

/// How many records are read, and how they become examples of answers.
struct MeasuredOptions {
  std::int64_t max_length = 1024;
  std::string too_long = "truncate";
  std::uint64_t limit = 0;
  base::Tolerance max_bad{100};
  MakerOptions reading;
  void visit(base::OptionVisitor& v);
};

/// The records of `files` as examples for `loaded`, and what became of them, said on standard error. `max_length` goes
/// down to the model's context where nobody gave it. Throws Error of files, too many bad records, no example, and
/// tokens that the model does not have.
Dataset read_measured(const std::vector<std::string>& files, MeasuredOptions& options, const LoadedModel& loaded,
                      int threads, base::Context& context);

}  // namespace finetune
