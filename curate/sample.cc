#include "curate/sample.h"

#include "base/error.h"
#include "base/random.h"
#include "curate/judge.h"
#include "curate/words.h"

namespace curate {

void Sample::visit(base::OptionVisitor& v) {
  v("rate", rate, "share of the documents that is kept");
  v("seed", seed, "another seed, another sample");
}

void Sample::prepare() {
  if (!(rate >= 0 && rate <= 1)) {
    throw base::UsageError(base::ErrorFacts{"not a share", "sample.rate", std::to_string(rate), "0 to 1", ""});
  }
}

Verdict Sample::apply(Document& document, std::vector<Measure>* measures) const {
  std::string_view name = document.id().empty() ? document.text() : document.id();
  std::uint64_t hash =
      base::mix64(hash_bytes(name.data(), name.size()) ^ base::mix64(static_cast<std::uint64_t>(seed)));
  double value = static_cast<double>(hash >> 11) * 0x1.0p-53;
  Judge judge(measures, document);
  judge.check("sample", value, rate, !(value < rate));
  return judge.verdict();
}

}  // namespace curate
