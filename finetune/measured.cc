// Records that a model is measured on. Tested by tests/finetune/commands_test.cc.
#include "finetune/measured.h"

#include <fmt/ostream.h>

#include "base/delimiter.h"
#include "base/inputs.h"
#include "finetune/data/findings.h"
#include "finetune/train/train_checks.h"

namespace finetune {

void MeasuredOptions::visit(base::OptionVisitor& v) {
  v("max_length", max_length, "tokens of a row and of the longest example").at_least(2).unit("tokens");
  v.choice("too_long", too_long, {"truncate", "drop", "split"}, "what happens to a longer example");
  v("limit", limit, "read at most so many records, 0 = all");
  v("max_bad", max_bad, "more bad records, or a larger share of them (1%), is an error");
  reading.visit(v);
}

Dataset read_measured(const std::vector<std::string>& files, MeasuredOptions& options, const LoadedModel& loaded,
                      int threads, base::Context& context) {
  fit_length(options.max_length, loaded.model.config(), context);
  const DataOptions limits{options.max_length, options.too_long, options.limit,
                           options.max_bad,    threads,          options.reading.text};
  const ExampleMaker maker(*loaded.tokenizer, options.reading);
  const std::vector<std::string> inputs = base::expand_inputs(files, context);
  base::tell_unused_delimiter(options.reading.text.delimiter, inputs, context);
  Dataset dataset = read_dataset(inputs, maker, limits);
  if (!context.quiet) {
    fmt::print(context.err, "{}\n", dataset.report.to_text(limits));
    for (const std::string& line : findings(dataset.report, *loaded.tokenizer, options.reading))
      fmt::print(context.err, "  {}\n", line);
  }
  for (std::size_t i = 0; i < dataset.examples.size(); ++i) check_ids(dataset.examples[i].ids, loaded.model.config());
  return dataset;
}

}  // namespace finetune
