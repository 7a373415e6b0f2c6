// A random share of the documents, the same for any order, any sharding and any number of threads.
#pragma once

#include <cstdint>

#include "curate/steps/step.h"

namespace curate {

/// Keeps a document when a number from 0 to 1, made of the seed and its id (its text where it has none), is below
/// `rate`.
class Sample : public Step {
 public:
  double rate = 1;
  std::int64_t seed = 0;

  void visit(base::OptionVisitor& v) override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
};

}  // namespace curate
