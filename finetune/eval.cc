#include "finetune/eval.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ostream.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/inputs.h"
#include "base/progress.h"
#include "base/text.h"
#include "finetune/data/packing.h"
#include "finetune/model/load.h"

namespace finetune {

double Evaluation::perplexity() const { return std::exp(loss); }

Evaluation evaluate(const Transformer& model, std::span<const Example> examples, std::int64_t max_length,
                    const std::function<void(double)>& progress) {
  at::NoGradGuard no_gradient;
  Evaluation result;
  double sum = 0;
  std::vector<RowPlan> rows = plan_rows(examples, max_length, true, 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    PackedRow row = make_row(examples, rows[i]);
    sum += model.loss_sum(row).item<double>();
    result.trained_tokens += row.trained;
    result.tokens += row.ids.size(0);
    if (progress) progress(static_cast<double>(i + 1) / static_cast<double>(rows.size()));
  }
  if (result.trained_tokens > 0) result.loss = sum / static_cast<double>(result.trained_tokens);
  return result;
}

namespace {

struct EvalOptions {
  ModelOptions model;
  std::vector<std::string> data;
  std::int64_t max_length = 1024;
  std::string too_long = "truncate";
  std::uint64_t limit = 0;
  base::Tolerance max_bad{100};
  MakerOptions reading;
  void visit(base::OptionVisitor& v) {
    model.visit(v);
    v.positional("data", data,
                 "records: chat, prompt and completion, or text; .parquet, .jsonl, .json, .csv, .tsv, .txt");
    v("max_length", max_length, "tokens of a row and of the longest example").at_least(2).unit("tokens");
    v.choice("too_long", too_long, {"truncate", "drop", "split"}, "what happens to a longer example");
    v("limit", limit, "read at most so many records, 0 = all");
    v("max_bad", max_bad, "more bad records, or a larger share of them (1%), is an error");
    reading.visit(v);
  }
};

int run_eval(EvalOptions& options, base::Context& context) {
  if (options.data.empty()) throw base::UsageError({"no data", "eval", "", "one or more files", ""});
  LoadedModel loaded = load_model(options.model);
  if (options.max_length > loaded.model.config().context_length)
    throw base::UsageError({"bad value", "--max-length", std::to_string(options.max_length),
                            fmt::format("at most {}, the model's context", loaded.model.config().context_length), ""});
  DataOptions limits{options.max_length, options.too_long,      options.limit,
                     options.max_bad,    options.model.threads, options.reading.text};
  ExampleMaker maker(*loaded.tokenizer, options.reading);
  Dataset dataset = read_dataset(base::expand_inputs(options.data, context), maker, limits);
  if (!context.quiet) fmt::print(context.err, "{}\n", dataset.report.to_text(limits));
  for (const Example& example : dataset.examples) check_ids(example.ids, loaded.model.config());
  base::Progress progress(context.err, context.quiet, "finetune eval");
  Evaluation result =
      evaluate(loaded.model, dataset.examples, options.max_length, [&](double share) { progress.update(share, ""); });
  progress.finish();
  if (context.json) {
    nlohmann::ordered_json json = {{"loss", result.loss},
                                   {"perplexity", result.perplexity()},
                                   {"trained_tokens", result.trained_tokens},
                                   {"tokens", result.tokens},
                                   {"examples", dataset.examples.size()}};
    context.out << json.dump() << "\n";
  } else {
    fmt::print(context.out, "loss {:.5f}  perplexity {:.4f}  trained tokens {}  examples {}\n", result.loss,
               result.perplexity(), base::human_count(static_cast<std::uint64_t>(result.trained_tokens)),
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
