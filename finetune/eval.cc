// `finetune eval`: loss and perplexity of a model on records. Tested by tests/finetune/commands_test.cc.
#include "finetune/eval.h"

#include <fmt/ostream.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/progress.h"
#include "base/text.h"
#include "finetune/data/findings.h"
#include "finetune/measured.h"
#include "finetune/train/evaluate.h"

namespace finetune {

namespace {

struct EvalOptions {
  ModelOptions model;
  std::vector<std::string> data;
  MeasuredOptions measured;
  void visit(base::OptionVisitor& v) {
    model.visit(v);
    v.positional("data", data,
                 "records of answers (pairs and verdicts are not measured): chat, prompt and completion, or text; "
                 ".parquet, .jsonl, .json, .csv, .tsv, .txt");
    measured.visit(v);
  }
};

int run_eval(EvalOptions& options, base::Context& context) {
  if (options.data.empty()) throw base::UsageError({"no data", "eval", "", "one or more files", ""});
  LoadedModel loaded = load_model(options.model);
  tell_notes(loaded.notes, context);
  const Dataset dataset = read_measured(options.data, options.measured, loaded, options.model.threads, context);
  base::Progress progress(context.err, context.quiet, "finetune eval");
  const auto show = [&](double share) {
    progress.update(share, "");
    return true;
  };
  const Evaluation result =
      evaluate(loaded.model, AnswerObjective(), dataset.examples, options.measured.max_length, true, show).value();
  progress.finish();
  if (!std::isfinite(result.loss))
    throw base::Error({"the model's loss is not a finite number",
                       options.model.adapter.empty() ? options.model.model : options.model.adapter,
                       fmt::format("{}", result.loss), "", "are the weights damaged?"});
  if (context.json) {
    nlohmann::ordered_json json = {
        {"loss", result.loss},     {"perplexity", result.perplexity.value()}, {"trained_tokens", result.trained_tokens},
        {"tokens", result.tokens}, {"examples", dataset.examples.size()},     {"data", summary_of(dataset.report)}};
    context.out << base::json_dump(json) << "\n";
  } else {
    fmt::print(context.out, "loss {:.5f}  perplexity {:.4f}  trained tokens {}  examples {}\n", result.loss,
               result.perplexity.value(), base::human_count(static_cast<std::uint64_t>(result.trained_tokens)),
               base::human_count(dataset.examples.size()));
  }
  return 0;
}

}  // namespace

base::Command eval_command() {
  return base::make_command<EvalOptions>("eval", "loss and perplexity of records",
                                         "finetune eval --model build/data/smollm2.gguf records.jsonl", run_eval);
}

}  // namespace finetune
