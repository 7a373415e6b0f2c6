// `curate score`: scores added to records, nothing dropped. `curate steps`: what can stand in a pipeline.
#pragma once

#include "base/program.h"
#include "curate/stages/run_options.h"

namespace curate {

struct ScoreOptions {
  InputOptions reading;
  std::string output;
  std::vector<base::NamedGroup> steps;
  std::string nan = "keep";  ///< what NaN and Infinity become
  bool values = false;

  ScoreOptions();  ///< starts with the steps that score: language and textbook, as far as they are there
  void visit(base::OptionVisitor& v);
};

/// Writes every readable record with the scores and labels of the steps under its `hornbook` key; text and order stay.
/// 1 when some records could not be read (they are named), else 0.
int run_score(ScoreOptions& options, base::Context& context);

struct StepsOptions {
  void visit(base::OptionVisitor&) {}
};
/// Prints every step with its options and defaults, out of the registry.
int run_steps(StepsOptions& options, base::Context& context);

}  // namespace curate
