// `curate explain`: why one document is kept or dropped.
#pragma once

#include "base/program.h"
#include "curate/stages/run_options.h"

namespace curate {

struct ExplainOptions {
  RunOptions pipeline;  ///< so that a run's config can be given as it is
  std::string run, id;
  std::uint64_t number = 1;
  void visit(base::OptionVisitor& v);
};

/// Finds the document by `id`, else the `number`-th of the input, and prints every measure of every step beside its
/// threshold. All steps are shown, also those behind the one that drops. For a deduplicate step every other document of
/// the input is compared exactly (no LSH) and the most similar ones are named. With `run`, an output folder of `curate
/// run`, steps and input are taken from there and what that run did is told too. 1 when there is no such document.
int run_explain(ExplainOptions& options, base::Context& context);

}  // namespace curate
