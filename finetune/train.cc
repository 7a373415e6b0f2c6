// One example through training: record -> chat template -> ids and mask -> packed row -> model -> loss over the trained
// tokens -> backward into A and B only -> clip, rate, AdamW -> one line a human reads, one JSON line a script reads.
// Tested by tests/finetune/train_test.cc.
#include "finetune/train.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ostream.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/text.h"
#include "finetune/data/packing.h"
#include "finetune/data/show_batch.h"
#include "finetune/train/checkpoint.h"
#include "finetune/train/evaluate.h"
#include "finetune/train/group.h"
#include "finetune/train/metrics.h"
#include "finetune/train/objective.h"
#include "finetune/train/preferences.h"
#include "finetune/train/schedule.h"
#include "finetune/train/train_start.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/model_card.h"
#include "lora/adapter/write_model.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Never 0, which would mean "no dropout".
std::uint64_t dropout_seed(std::uint64_t seed, std::int64_t step, std::int64_t batch) {
  using base::mix64;
  return mix64(mix64(mix64(seed) + static_cast<std::uint64_t>(step)) + static_cast<std::uint64_t>(batch)) | 1;
}

// Rows [first, last), cut into batches that fit the model.
std::vector<PackedRow> batches_of(RowStream& stream, const Examples& examples, at::Device device, std::int64_t first,
                                  std::int64_t last, std::int64_t rows_per_batch) {
  std::vector<PackedRow> batches;
  for (std::int64_t begin = first; begin < last; begin += rows_per_batch) {
    RowPlan documents;
    for (std::int64_t row = begin; row < std::min(begin + rows_per_batch, last); ++row) {
      const RowPlan& next = stream.row(row);
      documents.insert(documents.end(), next.begin(), next.end());
    }
    batches.push_back(make_row(examples, documents, device));
  }
  return batches;
}

// What is known of a step before it is made.
StepMetrics metrics_of(std::span<const PackedRow> batches) {
  StepMetrics metrics;
  for (const PackedRow& batch : batches) {
    metrics.tokens += batch.ids.numel();
    metrics.trained_tokens += batch.trained;
  }
  return metrics;
}

EvaluationMetrics metrics_of(std::int64_t done, const Evaluation& found, const Objective& objective) {
  EvaluationMetrics metrics{done, found.loss, found.perplexity, found.trained_tokens};
  const std::vector<std::string> names = objective.figure_names();
  for (std::size_t i = 0; i < found.figures.size(); ++i) metrics.figures.emplace_back(names[i], found.figures[i]);
  return metrics;
}

// What the loss of a step is divided by, over all processes.
double normaliser_of(const Objective& objective, std::span<const PackedRow> batches, const Group& group) {
  double own = 0;
  for (const PackedRow& batch : batches) own += objective.normaliser(batch);
  const at::Tensor sum = at::full({}, own, at::kDouble);
  group.all_reduce(sum);
  return sum.item<double>();
}

// Forward and backward; returns the loss. Every trained token of the step weighs the same, whatever batch it is in.
at::Tensor add_gradients(const Objective& objective, const Transformer& model, std::span<const PackedRow> batches,
                         const Group& group, std::uint64_t seed, std::int64_t step, Figures& figures) {
  for (const std::string& name : objective.figure_names()) figures.emplace_back(name, 0);
  const double normaliser = normaliser_of(objective, batches, group);
  at::Tensor loss = at::zeros({}, at::TensorOptions(model.device()).dtype(at::kDouble));
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const std::uint64_t masks = dropout_seed(seed, step, static_cast<std::int64_t>(i));
    at::Tensor sums;
    const at::Tensor share = objective.loss_sum(model, batches[i], masks, &sums) / normaliser;
    share.backward();
    loss += share.detach();
    for (std::size_t j = 0; j < figures.size(); ++j)
      figures[j].second += sums[static_cast<std::int64_t>(j)].item<double>() / normaliser;
  }
  return loss;
}

lora::Adapter adapter_of(const Transformer& model, const StartOptions& start) {
  lora::Adapter adapter = model.adapter();
  // A hub name stays a name; a path must still be right when the adapter is read from another folder.
  adapter.base_model = !start.base_name.empty()  ? start.base_name
                       : fs::exists(start.model) ? fs::absolute(start.model).lexically_normal().string()
                                                 : start.model;
  return adapter;
}

void check_finite(double value, const char* what, std::int64_t step, const std::string& output) {
  if (std::isfinite(value)) return;
  throw base::Error({fmt::format("{} is not finite", what), fmt::format("step {}", step + 1), fmt::format("{}", value),
                     "a finite number",
                     fmt::format("the checkpoints in {}/checkpoints are as they were; lower --learning-rate, or train "
                                 "with --dtype float32",
                                 output)});
}

std::unique_ptr<const Objective> objective_of(const PreferenceOptions& options) {
  if (options.is_on()) return std::make_unique<PreferenceObjective>(options);
  return std::make_unique<AnswerObjective>();
}

// The loop. `log` gets every step, `err` a line for people, checkpoints go to `checkpoints`. Returns whether the run is
// complete: not when it was interrupted, which it saves first.
bool train(TrainStart& start, const TrainOptions& options, const Objective& objective, const base::Interrupt& interrupt,
           MetricsLog& log, base::Context& context) {
  const TrainingData& data = start.data;
  const Plan& plan = start.plan;
  const RowOptions& rows = options.plan.rows;
  const IntervalOptions& intervals = options.intervals;
  const Transformer& model = start.model;
  AdamW& optimizer = start.optimizer;
  const OneProcess group;
  const Schedule schedule(options.optimizer.schedule, plan.warmup, plan.steps);
  RowStream stream(data.training, rows.max_length, rows.packing, options.compute.seed);
  base::Progress progress(context.err, context.quiet, "");
  std::string line;
  const auto begun = std::chrono::steady_clock::now();
  double training_seconds = 0;
  std::int64_t done = plan.first_step, done_rows = plan.first_row, saved = done;
  auto due = [&](std::int64_t every) { return done == plan.steps || (every > 0 && done % every == 0); };
  auto validate = [&] {
    if (data.validation.empty()) return true;
    const auto found = evaluate(model, objective, data.validation, rows.max_length, rows.packing,
                                [&](double) { return !interrupt.requested(); });
    if (!found) return false;
    const EvaluationMetrics metrics = metrics_of(done, *found, objective);
    log.add(metrics);
    progress.finish();
    if (!context.quiet) fmt::print(context.err, "{}\n", validation_line(metrics, plan.steps));
    return true;
  };
  auto save = [&] {
    write_checkpoint(
        fs::path(options.output.folder) / "checkpoints",
        {done, done_rows, adapter_of(model, options.start), optimizer.first_moment(), optimizer.second_moment(),
         start.facts, start.tokenizer->chat_template, options.start.trains_all() ? start.files.get() : nullptr},
        intervals.keep_checkpoints);
    saved = done;
  };
  // Before the first step, or what an interrupted run left out behind its last one.
  const bool has_validated = !log.evaluations().empty() && log.evaluations().back().step == done;
  bool is_complete = has_validated || (done > 0 && !due(intervals.eval_every)) || validate();

  for (std::int64_t step = done; step < plan.steps && !interrupt.requested(); ++step) {
    const auto step_start = std::chrono::steady_clock::now();
    const std::int64_t first_row = done_rows, last_row = std::min(first_row + plan.rows_per_step, plan.rows);
    const std::vector<PackedRow> batches =
        batches_of(stream, data.training, model.device(), first_row, last_row, options.plan.rows_per_batch);
    StepMetrics metrics = metrics_of(batches);

    optimizer.zero_gradients();
    const at::Tensor loss =
        add_gradients(objective, model, batches, group, options.compute.seed, step, metrics.figures);

    // Update, unless something broke.
    metrics.gradient_norm = optimizer.clip(options.optimizer.clip).item<double>();
    metrics.loss = loss.item<double>();
    check_finite(metrics.loss, "the loss", step, options.output.folder);
    check_finite(metrics.gradient_norm, "the gradient", step, options.output.folder);
    metrics.learning_rate = options.optimizer.learning_rate * schedule.factor(step);
    optimizer.step(metrics.learning_rate);

    // Tell, validate, save.
    done = metrics.step = step + 1;
    done_rows = last_row;
    metrics.epoch = static_cast<double>(last_row) / static_cast<double>(stream.rows_per_epoch());
    const double step_seconds = seconds_since(step_start);
    training_seconds += step_seconds;
    metrics.tokens_per_second = static_cast<double>(metrics.tokens) / step_seconds;
    metrics.seconds = seconds_since(begun);
    log.add(metrics);
    const double per_step = training_seconds / static_cast<double>(done - plan.first_step);
    line = step_line(metrics, plan.steps, per_step * static_cast<double>(plan.steps - done));
    progress.draw(line);
    if (!progress.redraws() && !context.quiet && due(intervals.log_every)) fmt::print(context.err, "{}\n", line);
    if (due(intervals.eval_every)) is_complete = validate();
    if (due(intervals.save_every)) save();
  }
  progress.finish();
  if (progress.redraws() && !line.empty()) fmt::print(context.err, "{}\n", line);
  if (saved != done) save();
  return is_complete && done == plan.steps;
}

// True where B of every module is 0, and nothing else trains.
bool is_zero(const Transformer& model) {
  bool is_zero = true;
  const std::vector<at::Tensor> parameters = model.parameters();
  const std::vector<ParameterKind> kinds = model.parameter_kinds();
  std::size_t of_lora = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!kinds[i].is_b || parameters[i].dim() != 2) continue;
    of_lora += 2;  // A before it
    is_zero &= parameters[i].count_nonzero().item<std::int64_t>() == 0;
  }
  return is_zero && of_lora == parameters.size();
}

// Why the model computes what it computed before the run, or "" when it does not.
std::string nothing_changed(const TrainStart& start, const MetricsLog& log) {
  const bool is_nothing{is_zero(start.model)};
  if (!is_nothing && hash_of(start.optimizer.values()) != start.first_hash) return "";
  const auto& steps = log.steps();
  auto all = [&](auto metric) {
    return std::all_of(steps.begin(), steps.end(), [&](const StepMetrics& step) { return step.*metric == 0; });
  };
  std::string why = "the updates were too small for float32: raise --learning-rate";
  if (all(&StepMetrics::gradient_norm)) why = "the gradient was 0 in every step: is --lora.alpha 0?";
  if (all(&StepMetrics::learning_rate)) why = "the learning rate was 0 in every step";
  return fmt::format("nothing was learned: the adapter {}; {}", is_nothing ? "is zero" : "is what it was", why);
}

// Written aside and renamed: an interrupted end leaves the last checkpoint, and no half of a model.
void write_model(const TrainStart& start, const lora::Adapter& adapter, const fs::path& folder) {
  const fs::path part = folder.parent_path() / ".model.part";
  fs::remove_all(part);
  fs::create_directories(part);
  lora::write_hf_folder(lora::MergedModel(*start.files, &adapter), part,
                        {lora::natural_type(*start.files), 0, {}, true, start.tokenizer.get()});
  fs::remove_all(folder);
  fs::rename(part, folder);
}

// What the run was for, and where it lies.
fs::path write_result(const TrainStart& start, const TrainOptions& options) {
  const fs::path output = options.output.folder;
  const lora::Adapter adapter = adapter_of(start.model, options.start);
  if (options.start.trains_all()) {
    write_model(start, adapter, output / "model");
    return output / "model";
  }
  lora::write_adapter(adapter, output / "adapter");
  if (!start.tokenizer->chat_template.empty())
    lora::write_tokenizer_files(*start.files, *start.tokenizer, output / "adapter");
  lora::write_model_card(adapter, output / "adapter");
  return output / "adapter";
}

// The first row instead of a run.
int show_batch(TrainOptions& options, base::Context& context) {
  const TrainInputs inputs = read_inputs(options, context);
  const TrainingData& data = inputs.data;
  const RowOptions& rows = options.plan.rows;
  RowStream stream(data.training, rows.max_length, rows.packing, options.compute.seed);
  const RowPlan& row = stream.row(0);
  if (context.json) {
    const auto json = row_json(data.training, row, data.training_report, *inputs.tokenizer);
    context.out << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    const bool colour = &context.out == &std::cout && isatty(STDOUT_FILENO) == 1;
    context.out << shown_row(data.training, row, data.training_report, *inputs.tokenizer, colour);
  }
  if (!context.quiet)
    fmt::print(context.err, "row 1 of {} of an epoch; nothing was trained\n",
               base::human_count(static_cast<std::uint64_t>(stream.rows_per_epoch())));
  return 0;
}

std::string resume_command(const fs::path& output) {
  return fmt::format("finetune train --config {} --resume", base::shell_word((output / "run.yaml").string()));
}

}  // namespace

int run_train(TrainOptions& options, base::Context& context) {
  if (options.reading.show_batch) return show_batch(options, context);
  TrainStart start = prepare_training(options, context);
  const Plan& plan = start.plan;

  // From here on the run exists: what comes is saved.
  const base::Interrupt interrupt(context.quiet ? "" : "\nfinishing the step; a second signal leaves at once\n");
  const fs::path output = options.output.folder;
  base::prepare_output_folder(output, options.output.resume, options.output.overwrite);
  if (!start.resume_step || start.is_new_plan || !fs::exists(output / "run.yaml")) {
    base::write_file(output / "run.yaml",
                     base::without_options(context.options ? context.options->to_yaml() : context.run_yaml,
                                           {"resume", "overwrite"}));
  }
  if (const std::string altered = altered_records(start.data); !altered.empty())
    base::write_file(output / "altered_records.jsonl", altered);
  if (options.preferences.is_on()) write_references(output / kReferencesFile, start.references);
  MetricsLog log(output, start.resume_step);
  const bool is_complete = train(start, options, *objective_of(options.preferences), interrupt, log, context);
  fs::path result_folder;
  if (is_complete) result_folder = write_result(start, options);

  const std::int64_t done = start.optimizer.steps();
  nlohmann::ordered_json result = {{"output", output.string()}, {"steps", done}};
  result["preflight"] = start.preflight.to_json();
  result["preflight"]["data"] = to_json(start.data);
  std::string summary =
      is_complete ? fmt::format("{} steps", done) : fmt::format("interrupted after {} of {} steps", done, plan.steps);
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
  const std::string unchanged = is_complete ? nothing_changed(start, log) : "";
  if (is_complete) {
    result["changed"] = unchanged.empty();
  } else {
    result["interrupted"] = true;
    result["resume"] = resume_command(output);
  }
  base::write_file(output / "report.html",
                   report_html(log.steps(), log.evaluations(), summary, base::read_file(output / "run.yaml")));
  if (context.json) context.out << result.dump() << "\n";
  if (!unchanged.empty()) fmt::print(context.err, "{}\n", unchanged);
  if (!context.quiet) {
    if (is_complete) {
      const bool trains_all{options.start.trains_all()};
      fmt::print(context.err, "{}\n{}: {}\nnext: {} {}\n", summary, trains_all ? "model" : "adapter",
                 result_folder.string(), trains_all ? "finetune chat --model" : "lora merge",
                 base::shell_word(trains_all ? result_folder.string() : output.string()));
    } else {
      fmt::print(context.err, "{}; it is all saved\nnext: {}\n", summary, resume_command(output));
    }
  }
  return !is_complete ? base::kInterrupted : unchanged.empty() ? 0 : 1;
}

base::Command train_command() {
  return base::make_command<TrainOptions>(
      "train", "training: records in, a PEFT adapter or a whole model out",
      "finetune train --model models/SmolLM2 --data chat.jsonl --validation-share 0.05 --output run", run_train);
}

}  // namespace finetune
