// `curate duplicates`: the verified near-duplicates of an input, nothing else.
#pragma once

#include "base/program.h"
#include "curate/stages/run_options.h"
#include "curate/steps/deduplicate.h"

namespace curate {

struct DuplicatesOptions {
  InputOptions reading;
  base::ByteSize memory;
  Deduplicate deduplicate;
  void visit(base::OptionVisitor& v);
};

/// One JSON line for each document that deduplicate would drop: {"id","duplicate_of","jaccard"}, in input order. What
/// does not fit into `memory` (8 bytes a word) waits in files without a name under $TMPDIR. 1 when some records could
/// not be read (they are counted), else 0.
int run_duplicates(DuplicatesOptions& options, base::Context& context);

}  // namespace curate
