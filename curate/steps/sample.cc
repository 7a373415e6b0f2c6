// A random share of the documents, the same for any order, any sharding and any number of threads. Tested by
// tests/curate/steps/cleaning_test.cc.
#include "curate/steps/sample.h"

#include "base/random.h"
#include "curate/steps/judge.h"
#include "curate/text/words.h"

namespace curate {

void Sample::visit(base::OptionVisitor& v) {
  v("rate", rate, "share of the documents that is kept").between(0, 1);
  v("seed", seed, "another seed, another sample");
}

Verdict Sample::apply(Document& document, std::vector<Measure>* measures) const {
  const std::string_view name = document.id().empty() ? document.text() : document.id();
  const double value = base::unit(hash_text(name, seed));
  Judge judge(measures, document);
  judge.check("sample", value, rate, !(value < rate), Limit::kMax);
  return judge.verdict();
}

}  // namespace curate
