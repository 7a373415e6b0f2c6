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
  std::string_view name = document.id().empty() ? document.text() : document.id();
  std::uint64_t hash =
      base::mix64(hash_bytes(name.data(), name.size()) ^ base::mix64(static_cast<std::uint64_t>(seed)));
  double value = static_cast<double>(hash >> 11) * 0x1.0p-53;
  Judge judge(measures, document);
  judge.check("sample", value, rate, !(value < rate), Limit::kMax);
  return judge.verdict();
}

}  // namespace curate
