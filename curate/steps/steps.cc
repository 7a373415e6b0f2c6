// All steps by name. Tested by tests/cli/run.py.
#include <fmt/format.h>

#include "curate/steps/c4.h"
#include "curate/steps/decontaminate.h"
#include "curate/steps/deduplicate.h"
#include "curate/steps/fineweb.h"
#include "curate/steps/gopher.h"
#include "curate/steps/language.h"
#include "curate/steps/pii.h"
#include "curate/steps/sample.h"
#include "curate/steps/step.h"
#include "curate/steps/textbook.h"
#include "curate/steps/unicode_step.h"

namespace curate {
namespace {

template <class S>
std::unique_ptr<base::OptionGroup> make() {
  return std::make_unique<S>();
}

}  // namespace

std::string compared(double value, double threshold) {
  return fmt::format("{:.6g} {} {:.6g}", value, value < threshold ? "<" : value > threshold ? ">" : "=", threshold);
}

const base::GroupRegistry& step_registry() {
  static const base::GroupRegistry registry = {
      {"language", make<Language>},
      {"textbook", make<Textbook>},
      {"gopher_repetition", make<GopherRepetition>},
      {"gopher_quality", make<GopherQuality>},
      {"c4", make<C4>},
      {"fineweb", make<FineWeb>},
      {"deduplicate", make<Deduplicate>},
      {"decontaminate", make<Decontaminate>},
      {"pii", make<Pii>},
      {"sample", make<Sample>},
      {"unicode", make<Unicode>},
  };
  return registry;
}

}  // namespace curate
