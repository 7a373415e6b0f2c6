// One example through training: record -> chat template -> ids and mask -> packed row -> model -> loss over the trained
// tokens -> backward into A and B only -> clip, rate, optimizer -> one line a human reads, one JSON line a script
// reads. Tested by tests/finetune/train_test.cc.
#include "finetune/train.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/json_values.h"
#include "base/output_folder.h"
#include "base/pipeline.h"
#include "base/run_lock.h"
#include "base/terminal.h"
#include "base/text.h"
#include "finetune/data/show_batch.h"
#include "finetune/train/checkpoint.h"
#include "finetune/train/group.h"
#include "finetune/train/loop.h"
#include "finetune/train/metrics.h"
#include "finetune/train/objective.h"
#include "finetune/train/preference_objective.h"
#include "finetune/train/refer.h"
#include "finetune/train/train_start.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/merged_card.h"
#include "lora/adapter/model_card.h"
#include "lora/adapter/write_model.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

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

// Why the result, the model after `result_step` (nothing: as it is now), computes what it computed before the run, or
// "" when it does not.
std::string nothing_changed(const TrainStart& start, const MetricsLog& log, std::optional<std::int64_t> result_step) {
  const bool is_nothing{is_zero(start.model)};
  const auto all = [&](auto metric) {
    return std::ranges::all_of(log.steps(), [&](const StepMetrics& step) {
      return step.*metric == 0 || (result_step && step.step > *result_step);
    });
  };
  if (result_step && all(&StepMetrics::learning_rate))
    return fmt::format(
        "nothing was learned: the result is that of step {}, and until then the rate was 0: "
        "--warmup-ratio 0, or a lower --learning-rate",
        *result_step);
  if (!is_nothing && hash_of(start.optimizer->values()) != start.first_hash) return "";
  std::string why = "the updates were too small for float32: raise --learning-rate";
  if (all(&StepMetrics::gradient_norm))
    why = "the gradient was 0 in every step: is --lora.dropout nearly 1, or an alpha too small for float32?";
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
  base::write_file(part / "README.md", lora::merged_card(adapter, *start.files, folder.parent_path(),
                                                         lora::natural_type(*start.files), true));
  const fs::path old = folder.parent_path() / ".model.old";  // of an end before this one
  fs::remove_all(old);
  if (fs::exists(folder)) fs::rename(folder, old);
  fs::rename(part, folder);
  fs::remove_all(old);
}

// What the run was for, and where it lies. `step`: of a checkpoint, nothing: as the model is now.
fs::path write_result(const TrainStart& start, const TrainOptions& options, std::optional<std::int64_t> step) {
  const fs::path output = options.output.folder;
  lora::Adapter adapter = adapter_of(start.model, options.start);
  if (step) {
    adapter = read_checkpoint(output / "checkpoints", *step).adapter;
    adapter.base_model = adapter_of(start.model, options.start).base_model;
  }
  if (options.start.trains_all()) {
    write_model(start, adapter, output / "model");
    return output / "model";
  }
  fs::create_directories(output / "adapter");
  if (!start.tokenizer->chat_template.empty() || !start.files->new_tokens().empty())
    lora::write_tokenizer_files(*start.files, *start.tokenizer, output / "adapter");
  lora::write_model_card(adapter, output / "adapter");
  lora::write_adapter(adapter, output / "adapter");  // last: an interrupted end leaves no half of what it takes
  return output / "adapter";
}

// The first row instead of a run.
int show_batch(TrainOptions& options, base::Context& context) {
  const TrainInputs inputs = read_inputs(options, context);
  const TrainingData& data = inputs.data;
  const RowOptions& rows = options.plan.rows;
  RowStream stream(data.training, rows.max_length, rows.packing, options.compute.seed);
  const RowPlan& row = stream.row(0);
  const bool has_verdicts = options.preferences.is_of_verdicts();
  if (context.json) {
    const auto json = row_json(data.training, row, data.training_report, *inputs.tokenizer, has_verdicts);
    context.out << base::json_dump(json) << "\n";
  } else {
    context.out << shown_row(data.training, row, data.training_report, *inputs.tokenizer,
                             base::shows_colour(context.out), has_verdicts);
  }
  if (!context.quiet)
    fmt::print(context.err, "row 1 of {} of an epoch; nothing was trained\n",
               base::human_count(static_cast<std::uint64_t>(stream.rows_per_epoch())));
  return 0;
}

std::string resume_command(const fs::path& output) {
  return fmt::format("finetune train --config {} --resume", base::shell_word((output / "run.yaml").string()));
}

// Every process computes with its share of the machine, and one GPU.
void take_share(const GroupPlace& place, ComputeOptions& compute) {
  const auto threads = static_cast<std::int64_t>(base::thread_count(0));
  if (compute.threads == 0) compute.threads = static_cast<int>(std::max<std::int64_t>(1, threads / place.local_size));
  // Of the devices that it names, or of all. One alone is what a launcher gave this process, or they share it.
  const char* named = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::vector<std::string> devices = named ? base::split(named, ',') : std::vector<std::string>{};
  const auto number = static_cast<std::size_t>(place.local_rank);
  if (devices.size() > 1 && number >= devices.size())
    throw base::UsageError({"fewer devices than processes on this machine", "CUDA_VISIBLE_DEVICES", named,
                            fmt::format("{} of them", place.local_size), ""});
  if (devices.size() == 1) return;
  const std::string own = named ? devices[number] : std::to_string(number);
  ::setenv("CUDA_VISIBLE_DEVICES", own.c_str(), 1);
}

// The step whose checkpoint is the result; nothing: the last step.
std::optional<std::int64_t> step_of_result(const LoopResult& found, const TrainOptions& options) {
  if (!options.stopping.takes_best() || !found.best || found.best->step == 0) return std::nullopt;
  return found.best->step;
}

std::string ending_text(const LoopResult& found, std::int64_t done, std::int64_t steps) {
  if (found.ending == Ending::kInterrupted) return fmt::format("interrupted after {} of {} steps", done, steps);
  if (found.ending == Ending::kComplete) return fmt::format("{} steps", done);
  return fmt::format("stopped early after {} of {} steps, {} validations without a better one", done, steps,
                     found.best->waited);
}

// What a person and a script read at the end.
struct Ended {
  std::string summary;
  nlohmann::ordered_json result;
};

Ended ended(const TrainStart& start, const TrainOptions& options, const LoopResult& found, const MetricsLog& log) {
  const std::int64_t done = start.optimizer->steps();
  Ended said{ending_text(found, done, start.plan.steps), {{"output", options.output.folder}, {"steps", done}}};
  said.result["preflight"] = start.preflight.to_json();
  said.result["preflight"]["data"] = to_json(start.data);
  if (!log.steps().empty()) {
    said.result["loss"] = log.steps().back().loss;
    said.summary += fmt::format(", last loss {:.4f}", log.steps().back().loss);
  }
  if (!log.evaluations().empty()) {
    const double before = log.evaluations().front().loss, after = log.evaluations().back().loss;
    said.result["validation_loss_before"] = before;
    said.result["validation_loss_after"] = after;
    said.summary += fmt::format(", validation loss {:.4f} -> {:.4f}", before, after);
  }
  if (found.ending == Ending::kStoppedEarly) said.result["stopped_early"] = true;
  if (found.best && found.best->step > 0 && options.stopping.keeps_best()) {
    said.result["best_step"] = found.best->step;
    said.result["best_validation_loss"] = found.best->loss;
    said.summary += fmt::format(", lowest {:.4f} after step {}", found.best->loss, found.best->step);
    const std::optional<Best> lowest = best_of(log.evaluations(), 0);
    if (lowest && lowest->step != found.best->step) {  // best was asked for behind it
      said.result["lowest_step"] = lowest->step;
      said.summary += fmt::format(" of those that were kept (of all {:.4f} after step {})", lowest->loss, lowest->step);
    }
  }
  if (start_is_best(log.evaluations())) {
    said.result["best_is_the_start"] = true;
    said.summary += " (no later one is lower than that before training)";
  }
  return said;
}

// The end of the process that writes; returns its exit code.
int finish(const TrainStart& start, const TrainOptions& options, const LoopResult& found, const MetricsLog& log,
           base::Context& context) {
  const fs::path output = options.output.folder;
  const bool is_complete{found.ending != Ending::kInterrupted};
  const std::optional<std::int64_t> step = step_of_result(found, options);
  fs::path result_folder;
  if (is_complete) result_folder = write_result(start, options, step);
  auto [summary, result] = ended(start, options, found, log);
  const std::string unchanged = is_complete ? nothing_changed(start, log, step) : "";
  if (is_complete) {
    result["changed"] = unchanged.empty();
    result["result_step"] = step.value_or(start.optimizer->steps());
    if (step) summary += fmt::format("; the result is that of step {}", *step);
  } else {
    result["interrupted"] = true;
    result["resume"] = resume_command(output);
  }
  write_report(output, start.report, log, summary, is_complete ? step : std::nullopt);
  if (context.json) context.out << base::json_dump(result) << "\n";
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

// A signal came before the first step.
int tell_unbegun(const TrainStart& start, const fs::path& output, base::Context& context) {
  const nlohmann::ordered_json result = {{"output", output.string()},
                                         {"steps", start.optimizer->steps()},
                                         {"interrupted", true},
                                         {"resume", resume_command(output)}};
  if (context.json) context.out << base::json_dump(result) << "\n";
  if (!context.quiet)
    fmt::print(context.err, "interrupted before the steps; the references so far are saved\nnext: {}\n",
               resume_command(output));
  return base::kInterrupted;
}

std::string options_in(const std::string& run_yaml) { return run_yaml.substr(base::run_head_of(run_yaml).size()); }

// From here on the run exists: what comes is saved.
void begin_output(const TrainStart& start, const TrainOptions& options, base::RunLock& lock, base::Context& context) {
  const fs::path output = options.output.folder;
  base::prepare_output_folder(output, options.output.resume, options.output.overwrite, context.run_yaml, lock);
  const std::string yaml = context.options
                               ? std::string(base::run_head_of(context.run_yaml)) + context.options->to_yaml()
                               : context.run_yaml;
  // A resumed run may have other options than it began with: steps, threads, the base's name.
  if (const std::string now = base::without_options(yaml, {"resume", "overwrite"});
      !fs::exists(output / "run.yaml") || options_in(base::read_file(output / "run.yaml")) != options_in(now))
    base::write_file(output / "run.yaml", now);
  if (const std::string altered = altered_records(start.data); !altered.empty())
    base::write_file(output / "altered_records.jsonl", altered);
  if (options.preferences.has_reference()) write_references(output / kReferencesFile, start.references);
}

}  // namespace

int run_train(TrainOptions& options, base::Context& context) {
  if (options.reading.show_batch) return show_batch(options, context);
  const std::optional<GroupPlace> place = place_of([](const char* name) { return std::getenv(name); });
  base::Context own = context;
  if (place && place->rank > 0) own.quiet = true, own.json = false;
  const int threads{
      options.compute.threads};  // run.yaml says what was asked for: the next run may have other processes
  if (place) take_share(*place, options.compute);
  const std::unique_ptr<const Group> group = make_group(place, [&own](const std::string& note) {
    if (!own.quiet) fmt::print(own.err, "note: {}\n", note);
  });
  base::RunLock lock;
  if (group->is_first()) lock.take(options.output.folder);
  TrainStart start = prepare_training(options, own, *group);
  group->any(false);  // nobody writes before everybody has looked at the output folder
  const base::Interrupt interrupt(own.quiet ? "" : "\nending behind this batch; a second signal leaves at once\n");
  const std::unique_ptr<const Objective> objective = objective_of(options.preferences);
  if (group->is_first()) {
    const int share{std::exchange(options.compute.threads, threads)};
    begin_output(start, options, lock, own);
    options.compute.threads = share;
  }
  if (!refer(start, options, *group, interrupt, own))
    return group->is_first() ? tell_unbegun(start, options.output.folder, own) : base::kInterrupted;
  if (!group->is_first()) {
    const LoopResult found = train(start, options, *objective, *group, interrupt, nullptr, own);
    return found.ending == Ending::kInterrupted ? base::kInterrupted : 0;
  }
  MetricsLog log(options.output.folder, start.resume_step);
  const LoopResult found = train(start, options, *objective, *group, interrupt, &log, own);
  return finish(start, options, found, log, own);
}

base::Command train_command() {
  return base::make_command<TrainOptions>(
      "train", "training: records in, a PEFT adapter or a whole model out",
      "finetune train --model models/SmolLM2 --data chat.jsonl --validation-share 0.05 --output run", run_train);
}

}  // namespace finetune
