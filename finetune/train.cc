// One example through training: record -> chat template -> ids and mask -> packed row -> model -> loss over the trained
// tokens -> backward into A and B only -> clip, rate, AdamW -> one line a human reads, one JSON line a script reads.
#include "finetune/train.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "base/pipeline.h"
#include "base/random.h"
#include "base/text.h"
#include "finetune/checkpoint.h"
#include "finetune/data.h"
#include "finetune/device.h"
#include "finetune/metrics.h"
#include "finetune/model.h"
#include "finetune/optimizer.h"
#include "finetune/packing.h"
#include "finetune/schedule.h"
#include "lora/identity.h"
#include "lora/model_card.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

struct TrainingData {
  std::vector<Example> training, validation;
};

// How many steps, of how many rows. A step takes accumulate x rows_per_batch rows, the last one what is left.
struct Plan {
  std::int64_t rows = 0, rows_per_step = 0, steps = 0, warmup = 0;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Never 0, which would mean "no dropout".
std::uint64_t dropout_seed(std::uint64_t seed, std::int64_t step, std::int64_t batch) {
  using base::mix64;
  return mix64(mix64(mix64(seed) + static_cast<std::uint64_t>(step)) + static_cast<std::uint64_t>(batch)) | 1;
}

PackedRow row_on(at::Device device, std::span<const Example> examples, std::span<const std::uint32_t> documents) {
  PackedRow row = make_row(examples, documents);
  row.ids = row.ids.to(device);
  row.targets = row.targets.to(device);
  return row;
}

EvaluationMetrics evaluate(const Llama& model, const TrainOptions& options, std::span<const Example> examples,
                           std::int64_t step) {
  at::NoGradGuard no_gradient;
  EvaluationMetrics metrics;
  metrics.step = step;
  double sum = 0;
  for (const RowPlan& documents : plan_rows(examples, options.max_length, options.packing, 0)) {
    const PackedRow row = row_on(model.device(), examples, documents);
    sum += model.loss_sum(row).item<double>();
    metrics.trained_tokens += row.trained;
  }
  metrics.loss = sum / static_cast<double>(metrics.trained_tokens);
  metrics.perplexity = std::exp(metrics.loss);
  return metrics;
}

lora::Adapter adapter_of(const Llama& model, const TrainOptions& options) {
  lora::Adapter adapter = model.adapter();
  // A hub name stays a name; a path must still be right when the adapter is read from another folder.
  adapter.base_model = !options.base_name.empty()  ? options.base_name
                       : fs::exists(options.model) ? fs::absolute(options.model).lexically_normal().string()
                                                   : options.model;
  return adapter;
}

void check_finite(double value, const char* what, std::int64_t step, const TrainOptions& options) {
  if (std::isfinite(value)) return;
  throw base::Error({fmt::format("{} is not finite", what), fmt::format("step {}", step + 1), fmt::format("{}", value),
                     "a finite number",
                     fmt::format("the checkpoints in {}/checkpoints are as they were; lower --learning-rate, or train "
                                 "with --dtype float32",
                                 options.output)});
}

// The loop. `log` gets every step, `err` a line for people, checkpoints go to `checkpoints`.
void train(Llama& model, AdamW& optimizer, const TrainOptions& options, const Plan& plan, const TrainingData& data,
           const std::map<std::string, std::string>& facts, MetricsLog& log, base::Context& context) {
  const Schedule schedule(options.schedule, plan.warmup, plan.steps);
  const fs::path checkpoints = fs::path(options.output) / "checkpoints";
  RowStream stream(data.training, options.max_length, options.packing, options.seed);
  const std::int64_t first_step = optimizer.steps();
  const auto start = std::chrono::steady_clock::now();
  double training_seconds = 0;
  auto validate = [&](std::int64_t step) {
    if (data.validation.empty()) return;
    log.add(evaluate(model, options, data.validation, step));
    const EvaluationMetrics& metrics = log.evaluations().back();
    if (!context.quiet) {
      fmt::print(context.err, "step {}/{}  validation loss {:.4f}  perplexity {:.2f}\n", step, plan.steps, metrics.loss,
                 metrics.perplexity);
    }
  };
  if (first_step == 0) validate(0);

  for (std::int64_t step = first_step; step < plan.steps; ++step) {
    // The rows of this step, cut into batches that fit the model.
    const auto step_start = std::chrono::steady_clock::now();
    const std::int64_t first_row = step * plan.rows_per_step;
    const std::int64_t last_row = std::min(first_row + plan.rows_per_step, plan.rows);
    StepMetrics metrics;
    std::vector<PackedRow> batches;
    for (std::int64_t begin = first_row; begin < last_row; begin += options.rows_per_batch) {
      RowPlan documents;
      for (std::int64_t row = begin; row < std::min(begin + options.rows_per_batch, last_row); ++row) {
        const RowPlan& next = stream.row(row);
        documents.insert(documents.end(), next.begin(), next.end());
      }
      batches.push_back(row_on(model.device(), data.training, documents));
      metrics.tokens += batches.back().ids.numel();
      metrics.trained_tokens += batches.back().trained;
    }

    // Forward and backward. Every trained token of the step weighs the same, whatever batch it is in.
    optimizer.zero_gradients();
    at::Tensor loss = at::zeros({}, at::TensorOptions(model.device()).dtype(at::kDouble));
    for (std::size_t i = 0; i < batches.size(); ++i) {
      const std::uint64_t masks = dropout_seed(options.seed, step, static_cast<std::int64_t>(i));
      const at::Tensor share = model.loss_sum(batches[i], masks) / static_cast<double>(metrics.trained_tokens);
      share.backward();
      loss += share.detach();
    }

    // Update, unless something broke.
    metrics.gradient_norm = optimizer.clip(options.clip).item<double>();
    metrics.loss = loss.item<double>();
    check_finite(metrics.loss, "the loss", step, options);
    check_finite(metrics.gradient_norm, "the gradient", step, options);
    metrics.learning_rate = options.learning_rate * schedule.factor(step);
    optimizer.step(metrics.learning_rate);

    // Tell, validate, save.
    metrics.step = step + 1;
    metrics.epoch = static_cast<double>(last_row) / static_cast<double>(stream.rows_per_epoch());
    const double step_seconds = seconds_since(step_start);
    training_seconds += step_seconds;
    metrics.tokens_per_second = static_cast<double>(metrics.tokens) / step_seconds;
    metrics.seconds = seconds_since(start);
    log.add(metrics);
    const bool last = step + 1 == plan.steps;
    auto due = [&](std::int64_t every) { return last || (every > 0 && (step + 1) % every == 0); };
    if (!context.quiet && due(options.log_every)) {
      const double per_step = training_seconds / static_cast<double>(step + 1 - first_step);
      fmt::print(context.err, "step {}/{}  loss {:.4f}  rate {:.2e}  norm {:.3f}  {:.0f} tokens/s  ETA {}\n", step + 1,
                 plan.steps, metrics.loss, metrics.learning_rate, metrics.gradient_norm, metrics.tokens_per_second,
                 base::human_seconds(per_step * static_cast<double>(plan.steps - step - 1)));
    }
    if (due(options.eval_every)) validate(step + 1);
    if (due(options.save_every)) {
      write_checkpoint(
          checkpoints,
          {step + 1, adapter_of(model, options), optimizer.first_moment(), optimizer.second_moment(), facts},
          options.keep_checkpoints);
    }
  }
}

void check_options(const TrainOptions& options, const lora::ModelConfig& config) {
  if (!options.base_name.empty()) lora::check_base_name(options.base_name);
  if (options.data.empty()) {
    throw base::UsageError({"no training data", "--data", "", "one or more files", ""});
  }
  if (options.max_length > config.context_length) {
    throw base::UsageError({"rows longer than the model's context", "--max-length",
                            fmt::format("{}", options.max_length), fmt::format("at most {}", config.context_length),
                            ""});
  }
  if (!options.validation_data.empty() && options.validation_share > 0) {
    throw base::UsageError("give --validation-data or --validation-share, not both");
  }
}

TrainingData read_data(const TrainOptions& options, const lora::ModelFiles& files, base::Context& context) {
  const std::unique_ptr<tokenizer::Tokenizer> tokenizer = tokenizer::load(files.path());
  const ExampleMaker maker(*tokenizer, options.reading);
  auto read = [&](const char* title, const std::vector<std::string>& inputs, std::uint64_t limit) {
    const DataOptions limits{options.max_length, options.too_long, limit, options.max_bad, options.threads};
    Dataset dataset = read_dataset(base::expand_inputs(inputs), maker, limits);
    if (!context.quiet) fmt::print(context.err, "{}: {}\n", title, dataset.report.to_text(limits));
    for (const Example& example : dataset.examples) {
      for (std::int32_t id : example.ids) {
        if (id < files.config().vocab_size) continue;
        throw base::Error({"the tokenizer gives a token that the model does not have", files.path().string(),
                           fmt::format("{}", id), fmt::format("below {}", files.config().vocab_size), ""});
      }
    }
    return std::move(dataset.examples);
  };
  TrainingData data;
  data.training = read("training data", options.data, options.limit);
  if (!options.validation_data.empty()) {
    data.validation = read("validation data", options.validation_data, options.validation_limit);
  } else if (options.validation_share > 0) {
    data.validation = take_validation(data.training, options.validation_share, options.seed);
  }
  return data;
}

Plan make_plan(const TrainOptions& options, const TrainingData& data) {
  Plan plan;
  const auto rows_per_epoch =
      static_cast<double>(plan_rows(data.training, options.max_length, options.packing, 0).size());
  plan.rows_per_step = options.accumulate * options.rows_per_batch;
  plan.rows = options.steps > 0 ? options.steps * plan.rows_per_step
                                : std::max<std::int64_t>(1, std::llround(options.epochs * rows_per_epoch));
  plan.steps = (plan.rows + plan.rows_per_step - 1) / plan.rows_per_step;
  plan.warmup = options.warmup_steps > 0
                    ? options.warmup_steps
                    : static_cast<std::int64_t>(std::ceil(options.warmup_ratio * static_cast<double>(plan.steps)));
  return plan;
}

// All that decides the bytes of the adapter (given one machine and thread count).
std::map<std::string, std::string> facts_of(const TrainOptions& options, const lora::ModelFiles& files,
                                            const Plan& plan, const TrainingData& data, at::ScalarType dtype) {
  auto text = [](auto value) { return fmt::format("{}", value); };
  return {{"model", lora::identity_of(files)},
          {"data", fmt::format("{:016x}", fingerprint(data.training))},
          {"steps", text(plan.steps)},
          {"rows", text(plan.rows)},
          {"max_length", text(options.max_length)},
          {"packing", text(options.packing)},
          {"rows_per_batch", text(options.rows_per_batch)},
          {"accumulate", text(options.accumulate)},
          {"learning_rate", text(options.learning_rate)},
          {"schedule", options.schedule},
          {"warmup", text(plan.warmup)},
          {"weight_decay", text(options.weight_decay)},
          {"clip", text(options.clip)},
          {"lora.rank", text(options.lora.rank)},
          {"lora.alpha", text(options.lora.alpha)},
          {"lora.dropout", text(options.lora.dropout)},
          {"lora.targets", base::join(lora::expand_targets(options.lora.targets), ",")},
          {"lora.rslora", text(options.lora.rslora)},
          {"dtype", dtype == at::kFloat ? "float32" : "bfloat16"},
          {"seed", text(options.seed)}};
}

}  // namespace

int run_train(TrainOptions& options, base::Context& context) {
  set_threads(base::thread_count(options.threads));
  const lora::ModelFiles files(options.model);
  check_options(options, files.config());
  const fs::path output = options.output;
  base::check_outputs({output}, {files.path()});  // a model by its hub name too
  base::prepare_output_folder(output, options.resume, options.overwrite);

  const TrainingData data = read_data(options, files, context);
  const Plan plan = make_plan(options, data);
  const at::Device device = choose_device(options.device);
  const at::ScalarType dtype = choose_dtype(options.dtype, device);
  Llama model(files, dtype, device);
  model.attach(options.lora.targets, options.lora.rank, options.lora.alpha, options.lora.dropout, options.lora.rslora,
               options.seed);
  AdamW optimizer(model.parameters(), {.weight_decay = options.weight_decay});
  const auto adapter_bytes = static_cast<std::uint64_t>(optimizer.values().nbytes());
  // Each checkpoint holds the adapter and two moments, one more is written before the oldest goes.
  base::check_free_space(output, adapter_bytes * (3 * static_cast<std::uint64_t>(options.keep_checkpoints + 1) + 1));

  const std::map<std::string, std::string> facts = facts_of(options, files, plan, data, dtype);
  std::optional<std::int64_t> resume_step;
  if (options.resume) {
    if (const auto checkpoint = read_newest_checkpoint(output / "checkpoints")) {
      check_same_run(checkpoint->facts, facts);
      optimizer.restore(flat_values(checkpoint->adapter), checkpoint->first_moment, checkpoint->second_moment,
                        checkpoint->step);
      resume_step = checkpoint->step;
    }
  }
  // A start from the beginning is this command's run, even where --resume found the folder of another.
  if (!resume_step || !fs::exists(output / "run.yaml")) base::write_file(output / "run.yaml", context.run_yaml);
  if (!context.quiet) {
    fmt::print(context.err, "{} adapter parameters train ({} on {}), {} steps of up to {} rows{}\n",
               base::human_count(static_cast<std::uint64_t>(optimizer.values().numel())),
               dtype == at::kFloat ? "float32" : "bfloat16", device.str(), plan.steps, plan.rows_per_step,
               resume_step ? fmt::format(", going on after step {}", *resume_step) : "");
  }
  MetricsLog log(output, resume_step);
  train(model, optimizer, options, plan, data, facts, log, context);

  const lora::Adapter adapter = adapter_of(model, options);
  lora::write_adapter(adapter, output / "adapter");
  lora::write_model_card(adapter, output / "adapter");
  nlohmann::ordered_json result = {{"output", options.output}, {"steps", plan.steps}};
  std::string summary = fmt::format("{} steps", plan.steps);
  if (!log.steps().empty()) {
    result["loss"] = log.steps().back().loss;
    summary += fmt::format(", last loss {:.4f}", log.steps().back().loss);
  }
  if (!log.evaluations().empty()) {
    const double before = log.evaluations().front().loss, after = log.evaluations().back().loss;
    result["validation_loss_before"] = before;
    result["validation_loss_after"] = after;
    summary += fmt::format(", validation loss {:.4f} -> {:.4f}", before, after);
  }
  base::write_file(output / "report.html",
                   report_html(log.steps(), log.evaluations(), summary, base::read_file(output / "run.yaml")));
  if (context.json) context.out << result.dump() << "\n";
  if (!context.quiet) {
    fmt::print(context.err, "{}\nadapter: {}\nnext: lora merge {}\n", summary, (output / "adapter").string(),
               options.output);
  }
  return 0;
}

}  // namespace finetune
