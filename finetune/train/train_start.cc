// All that `finetune train` checks and loads before it writes anything. Tested by tests/finetune/train_start_test.cc
// and train_test.cc.
#include "finetune/train/train_start.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/output_folder.h"
#include "base/outputs.h"
#include "base/pipeline.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/text.h"
#include "finetune/data/packing.h"
#include "finetune/kernels/device.h"
#include "finetune/model/load.h"
#include "finetune/train/checkpoint.h"
#include "finetune/train/memory.h"
#include "finetune/train/preflight.h"
#include "finetune/train/run_facts.h"
#include "finetune/train/start_notes.h"
#include "finetune/train/token_rows.h"
#include "finetune/train/train_checks.h"
#include "finetune/train/unused_options.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/model_card.h"
#include "lora/locate.h"
#include "lora/model/identity.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// `adapter`, from which training goes on (the folder or run `name`), decides what it is; an option that says otherwise
// is refused. How it trains, dropout among it, is this run's.
void take_lora(LoraOptions& options, lora::Adapter& adapter, const std::string& name, const lora::ModelSpec& spec,
               const base::OptionSet* declared) {
  auto is_given = [&](const char* option) { return declared && declared->find(option)->given; };
  auto take = [&](const char* option, auto& field, const auto& value, auto text) {
    if (is_given(option) && field != value) {
      throw base::UsageError({"the adapter that training goes on from has another value", std::string("--") + option,
                              text(field), text(value) + ", as in " + name, "leave the option out"});
    }
    field = value;
  };
  auto plain = [](auto value) { return fmt::format("{}", value); };
  for (const char* option : {"start", "rank_pattern", "alpha_pattern", "exclude_modules", "layers_to_transform",
                             "layers_pattern", "modules_to_save", "trainable_tokens"})
    if (is_chosen(declared, std::string("lora.") + option))
      throw base::UsageError({"an option of a fresh adapter", std::string("--lora.") + option,
                              base::join(declared->find(std::string("lora.") + option)->get(), ", "), "no --adapter",
                              "leave the option out: the adapter that training goes on from decides it, " + name});
  options.targets = lora::expand_targets(spec, options.targets);
  take("lora.rank", options.rank, adapter.rank, plain);
  take("lora.alpha", options.alpha, adapter.alpha, plain);
  if (is_given("lora.dropout")) adapter.dropout = options.dropout;
  options.dropout = adapter.dropout;
  take("lora.rslora", options.rslora, adapter.rslora, plain);
  take("lora.dora", options.dora, adapter.dora, plain);
  take("lora.ensure_weight_tying", options.ensure_weight_tying, adapter.tied, plain);
  take("lora.targets", options.targets, adapter.targets,
       [](const std::vector<std::string>& names) { return base::join(names, ", "); });
}

// --resume without a checkpoint: of a run that ended before its first one, or of none at all.
void check_begun(const fs::path& folder, base::Context& context) {
  const bool is_ours{fs::exists(folder / "run.yaml") || fs::exists(folder / "run.yaml.part")};
  if (!is_ours && fs::exists(folder) && !fs::is_empty(folder))
    throw base::UsageError({"nothing to resume: the folder does not look like a run's output", folder.string(), "",
                            "a folder that holds run.yaml, an empty or a new one", "choose another folder"});
  if (context.quiet) return;
  fmt::print(context.err, "note: no checkpoint in {}: starting from the beginning\n", folder.string());
  tell_changed(folder / "run.yaml", context);
}

// What the options and the data ask for, behind what `checkpoint` (nullptr: none) has done.
Plan make_plan(const PlanOptions& options, const Examples& training, const Checkpoint* checkpoint) {
  Plan plan;
  if (checkpoint) {
    plan.first_step = checkpoint->step;
    plan.first_row = checkpoint->rows;
  }
  plan.rows_per_step = options.accumulate * options.rows_per_batch;
  auto refuse = [&](const char* option, double value, std::int64_t steps) {
    throw base::UsageError({"fewer steps than the run has done already", option, fmt::format("{}", value),
                            fmt::format("more: {} would be {} steps, {} are done", value, steps, plan.first_step),
                            "give a larger number, or another --output for a shorter run"});
  };
  if (options.steps > 0) {
    plan.steps = options.steps;
    plan.rows = plan.first_row + (plan.steps - plan.first_step) * plan.rows_per_step;
    if (plan.steps < plan.first_step) refuse("--steps", static_cast<double>(options.steps), options.steps);
  } else {
    const auto per_epoch =
        static_cast<double>(plan_rows(training, options.rows.max_length, options.rows.packing, 0).size());
    plan.rows = std::max<std::int64_t>(1, std::llround(options.epochs * per_epoch));
    auto steps_of = [&](std::int64_t rows) { return (rows + plan.rows_per_step - 1) / plan.rows_per_step; };
    if (plan.rows < plan.first_row) refuse("--epochs", options.epochs, steps_of(plan.rows));
    plan.steps = plan.first_step + steps_of(plan.rows - plan.first_row);
  }
  return plan;
}

// What log-probabilities of the data belong to: the base, and the adapter that training goes on from.
std::string reference_key(const lora::ModelFiles& files, const std::optional<lora::Adapter>& adapter,
                          const TrainingData& data, at::ScalarType dtype, const std::string& quantization) {
  return fmt::format("{} {} {:016x} {:016x} {} {}", lora::identity_of(files),
                     adapter ? hash_of(flat_values(*adapter)) : "", fingerprint(data.training),
                     fingerprint(data.validation), at::toString(dtype), quantization);
}

// Says what a person would not expect of the plan.
void tell_plan(const Plan& plan, const ScheduleOptions& options, const Checkpoint* checkpoint, base::Context& context) {
  if (context.quiet) return;
  const std::int64_t warmup{warmup_of(options, plan.steps)};
  const bool is_asked{options.warmup_steps > 0 || options.warmup_ratio != ScheduleOptions{}.warmup_ratio};
  if (is_asked && plan.phases.warmup < warmup)
    fmt::print(context.err, "warm-up: {} of {} steps, not {}: it never takes the whole run\n", plan.phases.warmup,
               plan.steps, warmup);
  constexpr std::int64_t kFewSteps = 10;  // of which one is a share that counts
  if (plan.first_step == 0 && plan.steps <= kFewSteps && Schedule(options, plan.phases).factor(0) == 0)
    fmt::print(context.err,
               "note: warm-up begins at rate 0, as in transformers: the first of {} steps changes nothing "
               "(--warmup-ratio 0 goes without)\n",
               plan.steps);
  if (!checkpoint || checkpoint->facts.at("steps") == std::to_string(plan.steps)) return;
  fmt::print(context.err, "the run has {} steps now, not {}: from step {} on the rate follows the new schedule\n",
             plan.steps, checkpoint->facts.at("steps"), plan.first_step + 1);
}

// All processes must train one run: each reads files and options of its own.
void check_group(const TrainOptions& options, const TrainInputs& inputs, at::ScalarType dtype, const Group& group) {
  if (group.size() == 1) return;
  RunFacts facts =
      facts_of(options, *inputs.files, inputs.data, dtype, inputs.adapter ? hash_of(flat_values(*inputs.adapter)) : "");
  facts["resume"] = inputs.checkpoint ? fmt::format("step {}", inputs.checkpoint->step) : "no checkpoint";
  facts["steps"] = fmt::format("{}", options.plan.steps);
  facts["epochs"] = fmt::format("{}", options.plan.epochs);
  facts["eval_every"] = fmt::format("{}", options.intervals.eval_every);
  check_same_in_group(facts, group);
}

// The adapter of a checkpoint, of which the part that a start took out does not train: half of each module of a start
// of its own, or what does not train of the adapter that the run goes on from, where PEFT leaves an embedding out.
lora::Adapter resumed(lora::Adapter adapter, const TrainOptions& options, const std::optional<lora::Adapter>& from) {
  for (lora::AdapterModule& module : adapter.modules) {
    module.frozen = options.lora.start.empty() ? 0 : module.rank / 2;
    if (!from) continue;
    const auto before = std::ranges::find(from->modules, module.name, &lora::AdapterModule::name);
    module.frozen = before == from->modules.end() ? 0 : before->frozen;
  }
  return adapter;
}

// What a run without --adapter begins with, or what `done` has of a start, which is not computed twice.
lora::Adapter first_adapter(const TrainOptions& options, const lora::ModelFiles& files, const Checkpoint* done,
                            base::Context& context) {
  if (options.start.trains_all()) {
    tell_rounding(files, context);
    return lora::whole_model(files);
  }
  if (done && !options.lora.start.empty()) {
    lora::Adapter adapter = resumed(done->adapter, options, {});
    lora::set_dropouts(adapter, options.lora.dropout_pattern);
    return adapter;
  }
  lora::Adapter adapter = lora::fresh_adapter(files.spec(), options.lora, options.compute.seed);
  base::Progress progress(context.err, context.quiet || options.lora.start.empty(), "start: " + options.lora.start);
  lora::add_from_base(adapter, files, options.lora, options.compute.threads,
                      [&](double share) { progress.update(share, ""); });
  progress.finish();
  tell_parted(adapter, files, context);
  tell_experts(adapter, files, context);
  return adapter;
}

// As its files will say what it trained on.
lora::Adapter with_rounded_base(lora::Adapter adapter, const std::string& quantization) {
  adapter.rounded_base = quantization == "nf4" || quantization == "int8" ? quantization : "";
  return adapter;
}

OptimizerSettings optimizer_settings(const TrainOptions& options, const Transformer& model,
                                     const base::OptionSet* declared) {
  OptimizerSettings result = settings_of(options.optimizer.update);
  const LoraOptions& lora = options.lora;
  const std::vector<ParameterKind> kinds = model.parameter_kinds();
  check_loraplus(lora, std::ranges::any_of(kinds, &ParameterKind::is_of_embedding), declared);
  for (const ParameterKind& kind : kinds) {
    const bool is_plus{lora.loraplus_lr_ratio != 1};
    double factor{is_plus && kind.is_b ? lora.loraplus_lr_ratio : 1};
    if (is_plus && kind.is_of_embedding) factor = lora.loraplus_lr_embedding / options.optimizer.learning_rate;
    result.factors.push_back(factor);
    result.decays.push_back(kind.decays);
    result.matrices.push_back(!kind.is_of_vocabulary);
  }
  const std::vector<at::Tensor> parameters = model.parameters();
  bool has_part = false;  // that Muon leaves to AdamW
  for (std::size_t i = 0; i < parameters.size(); ++i) has_part |= parameters[i].dim() != 2 || !result.matrices[i];
  check_adamw_part(options, has_part, declared);
  return result;
}

// Each checkpoint holds the adapter and the optimizer's state, one more is written before the oldest goes. Those that a
// resumed run has stand there already.
void check_space(const TrainOptions& options, const Optimizer& optimizer, const Plan& plan) {
  const OutputOptions& output = options.output;
  const auto values = static_cast<std::uint64_t>(optimizer.values().nbytes());
  const std::uint64_t checkpoint{values + static_cast<std::uint64_t>(optimizer.state_bytes())};
  std::int64_t more{options.intervals.keep_checkpoints + 1 + (options.stopping.keeps_best() ? 1 : 0)};
  if (output.resume) more -= static_cast<std::int64_t>(saved_steps(fs::path(output.folder) / "checkpoints").size());
  if (plan.first_step == plan.steps) more = 0;
  base::check_free_space(output.folder,
                         checkpoint * static_cast<std::uint64_t>(std::max<std::int64_t>(0, more)) + values,
                         output.overwrite);
}

std::vector<DataSummary> summaries_of(const TrainingData& data) {
  const auto summary = [](const char* name, const DataReport& report, const Examples& examples) {
    DataSummary found{name, report};
    for (std::size_t i = 0; i < examples.size(); ++i) count_length(found.lengths, examples.length(i));
    return found;
  };
  std::vector<DataSummary> summaries = {summary("training", data.training_report, data.training)};
  if (data.validation_report) summaries.push_back(summary("validation", *data.validation_report, data.validation));
  return summaries;
}

// What memory and time the steps of `plan` will take.
Preflight foretell(const TrainOptions& options, lora::TrainingMemory memory, const Transformer& model,
                   Optimizer& optimizer, const Examples& training, const Plan& plan) {
  constexpr double kFewTokens = 20 * kTriedTokens;  // what is tried should cost little of the run
  const auto values = static_cast<std::uint64_t>(optimizer.values().nbytes());
  const auto state = static_cast<std::uint64_t>(optimizer.state_bytes());
  memory.adapter = 2 * values + state;
  memory.saving = values + state + memory.activations / 2;
  Preflight preflight{memory};
  RowStream rows(training, options.plan.rows.max_length, options.plan.rows.packing, options.compute.seed);
  double tokens = 0;
  for (std::size_t i = 0; i < training.size(); ++i) tokens += static_cast<double>(training.length(i));
  const double epochs = static_cast<double>(plan.rows - plan.first_row) / static_cast<double>(rows.rows_per_epoch());
  if (epochs * tokens < kFewTokens) return preflight;
  preflight.seconds = measured_seconds(model, training, epochs * tokens, preflight.tried);
  optimizer.zero_gradients();
  return preflight;
}

}  // namespace

std::string hash_of(const at::Tensor& values) {
  std::uint64_t hash = base::mix64(static_cast<std::uint64_t>(values.numel()));
  const at::Tensor flat = values.cpu().contiguous();
  const float* data = flat.const_data_ptr<float>();
  for (std::int64_t i = 0; i < flat.numel(); ++i) hash = base::mix64(hash ^ std::bit_cast<std::uint32_t>(data[i]));
  return fmt::format("{:016x}", hash);
}

// The day that a chat template writes is one of the run: tomorrow it goes on with the same records.
static void take_date(ReadingOptions& reading, tokenizer::Tokenizer& tokenizer,
                      const std::optional<Checkpoint>& checkpoint, const base::Context& context) {
  std::string& date = reading.template_date;
  if (!tokenizer::asks_for_date(tokenizer)) {
    if (date.empty()) return;
    throw base::UsageError({"the chat template writes no date", "--template-date", date, "", "leave it out"});
  }
  const std::string key = "template_date";
  if (date.empty() && checkpoint && checkpoint->facts.contains(key)) date = checkpoint->facts.at(key);
  if (date.empty()) date = tokenizer::today();
  tokenizer::noon_of(date);  // throws
  tokenizer.template_date = date;
  if (!context.quiet) fmt::print(context.err, "the chat template writes the date {} (--template-date)\n", date);
}

TrainInputs read_inputs(TrainOptions& options, base::Context& context) {
  std::string& model_name = options.start.model;
  const std::string& adapter_name = options.start.adapter;
  const OutputOptions& output = options.output;
  const ComputeOptions& compute = options.compute;
  set_threads(base::thread_count(compute.threads));
  check_start(options.start, context.options);
  check_sources(options.sources);
  check_numbers(options);
  check_step(options.plan);
  check_preferences(options, context.options);
  settings_of(options.optimizer.update);  // throws
  check_schedule(options.optimizer, context.options);
  check_spike(options.optimizer.spike_factor);
  check_unused(options, context);
  check_stopping(options.stopping, !options.sources.validation_data.empty() || options.sources.validation_share > 0,
                 options.intervals.eval_every);
  const Quantization quantization = quantization_named(compute.quantization);
  if (output.folder.empty() && !options.reading.show_batch)
    throw base::UsageError(
        {"missing option --output", "", "", "", "output folder: adapter, checkpoints, metrics, report"});
  if (!options.reading.show_batch)
    base::check_output_folder(output.folder, output.resume, output.overwrite, context.run_yaml);
  if (model_name.empty()) model_name = base_of(adapter_name);
  auto files = std::make_unique<lora::ModelFiles>(model_name);
  lora::tell_notes(*files, context);
  tell_dropouts(*files, context);
  tell_threads(compute.threads, context);
  check_quantization(*files, quantization);
  if (adapter_name.empty()) options.lora.FreshOptions::new_tokens = add_new_tokens(options.start, *files, context);
  check_start_of(*files, lora::chosen_modules(files->spec(), options.lora), options.lora.start);
  check_unused_of(files->spec(), options, context.options);
  base::check_outputs({output.folder}, {files->path()});  // a model by its hub name too
  fit_length(options.plan.rows.max_length, files->config(), context);
  std::optional<lora::Adapter> adapter;
  if (!adapter_name.empty()) {
    adapter = load_adapter(adapter_name, *files, compute.threads);
    tell_notes(notes_of(adapter_name, *adapter, *files), context);
    tell_experts(*adapter, *files, context);
    tell_other_base(adapter_name, compute.quantization, context);
    take_lora(options.lora, *adapter, adapter_name, files->spec(), context.options);
    if (!is_chosen(context.options, "lora.dropout") && adapter->dropout > 0 && !context.quiet)
      fmt::print(context.err, "note: dropout {}, as the adapter was trained (--lora.dropout says another)\n",
                 adapter->dropout);
    lora::set_dropouts(*adapter, options.lora.dropout_pattern);
  }
  std::optional<Checkpoint> checkpoint;
  if (output.resume) checkpoint = read_newest_checkpoint(fs::path(output.folder) / "checkpoints");
  if (output.resume && !checkpoint && !options.reading.show_batch) check_begun(output.folder, context);

  const fs::path adapter_folder = adapter_name.empty() ? fs::path() : lora::adapter_folder(adapter_name);
  auto tokenizer = lora::tokenizer_of(*files, adapter_folder, options.reading.chat.chat_template);
  take_date(options.reading, *tokenizer, checkpoint, context);
  if (!adapter) {
    options.lora.tokens = token_numbers(options.lora.trainable_tokens, *tokenizer, files->config());
    tell_tokens(options.lora.tokens, *tokenizer, context);
  }
  TrainingData data = read_data(options, *files, *tokenizer, context);
  return {std::move(files), std::move(tokenizer), std::move(data), std::move(adapter), std::move(checkpoint)};
}

static std::vector<SamplePrompt> read_samples(const TrainOptions& options, const TrainingData& data,
                                              const tokenizer::Tokenizer& tokenizer, const lora::ModelConfig& config,
                                              base::Context& context) {
  std::string notes;
  std::vector<SamplePrompt> prompts = sample_prompts(options.samples, data.validation, tokenizer, config.context_length,
                                                     &notes, options.reading.maker.text, options.reading.maker.roles);
  if (!context.quiet) fmt::print(context.err, "{}", notes);
  for (const SamplePrompt& prompt : prompts) check_ids(prompt.ids, config);
  return prompts;
}

TrainStart prepare_training(TrainOptions& options, base::Context& context, const Group& group) {
  const OutputOptions& output = options.output;
  const ComputeOptions& compute = options.compute;
  const at::Device device = choose_device(compute.device);
  const at::ScalarType dtype = choose_dtype(compute.dtype, device);
  const Quantization quantization = quantization_named(compute.quantization);
  TrainInputs inputs = read_inputs(options, context);
  check_group(options, inputs, dtype, group);
  auto [files, tokenizer, data, adapter, checkpoint] = std::move(inputs);
  const Checkpoint* done = checkpoint ? &*checkpoint : nullptr;
  const MemoryPlan memory =
      plan_memory(options, *files, dtype, device, largest_batch(data.training, options.plan, compute.seed),
                  adapter ? &*adapter : nullptr);
  if (!context.quiet && !memory.to_text().empty()) fmt::print(context.err, "{}\n", memory.to_text());
  check_memory(memory.foretold, memory_of(device));
  std::vector<SamplePrompt> prompts = read_samples(options, data, *tokenizer, files->config(), context);
  Transformer model(*files, dtype, device, quantization);
  const bool has_reference{options.preferences.has_reference()};
  std::optional<lora::Adapter> held_to;
  if (has_reference && !options.preferences.is_held_to_base()) held_to = adapter;
  References references;
  if (has_reference)
    references = read_references(fs::path(output.folder) / kReferencesFile,
                                 reference_key(*files, held_to, data, dtype, compute.quantization),
                                 data.training.size() + data.validation.size());
  if (adapter) model.attach(with_rounded_base(*adapter, compute.quantization));
  model.recompute_blocks(memory.recomputed_blocks);
  model.set_noise(options.optimizer.neftune_noise_alpha);
  if (!adapter) model.attach(with_rounded_base(first_adapter(options, *files, done, context), compute.quantization));
  if (options.start.trains_all() && !has_reference) model.free_replaced();  // else the base is asked first
  check_weights(model, *files, data.training, base::thread_count(compute.threads));
  std::unique_ptr<Optimizer> optimizer = make_optimizer(options.optimizer.update.optimizer, model.parameters(),
                                                        optimizer_settings(options, model, context.options));
  std::string first_hash = hash_of(optimizer->values());
  RunFacts facts = facts_of(options, *files, data, dtype, first_hash);
  facts["rows_at_once"] = std::to_string(memory.rows_at_once);
  if (done) check_same_run(done->facts, facts);
  if (done) check_same_template(done->chat_template, tokenizer->chat_template);
  if (done) tell_rows_at_once(done->facts, facts, context);
  Plan plan = make_plan(options.plan, data.training, done);
  check_space(options, *optimizer, plan);
  facts["steps"] = std::to_string(plan.steps);
  plan.phases = phases_of(options.optimizer, plan.steps);
  if (done) optimizer->restore(flat_values(resumed(done->adapter, options, adapter)), done->optimizer, done->step);
  if (group.size() > 1) check_same_in_group({{"values", hash_of(optimizer->values())}}, group);
  if (done && !options.lora.start.empty()) first_hash.clear();  // a start is not made again
  tell_plan(plan, options.optimizer, done, context);
  tell_patience(plan.steps, options, context);
  if (!context.quiet) {
    fmt::print(context.err, "{} {}parameters train ({} on {}, {} keeps {}), {} steps of up to {} rows{}\n",
               base::human_count(static_cast<std::uint64_t>(optimizer->values().numel())),
               options.start.trains_all() ? "" : "adapter ", dtype == at::kFloat ? "float32" : "bfloat16", device.str(),
               options.optimizer.update.optimizer, base::human_bytes(static_cast<double>(optimizer->state_bytes())),
               plan.steps, plan.rows_per_step, done ? fmt::format(", going on after step {}", done->step) : "");
  }
  tell_shares(options.plan, group.size(), context);
  tell_devices(count_devices(device), group.size(), context);
  tell_bfloat16(compute.dtype, device, done, context);
  const Preflight preflight = foretell(options, memory.foretold, model, *optimizer, data.training, plan);
  if (!context.quiet)
    for (const std::string& line : preflight.lines()) fmt::print(context.err, "{}\n", line);
  ReportFacts report{
      summaries_of(data),
      hardware_of(device.str(), dtype == at::kFloat ? "float32" : "bfloat16", base::thread_count(compute.threads)),
      options.preferences.is_on()};
  return {std::move(data),
          std::move(model),
          std::move(optimizer),
          std::move(first_hash),
          std::move(facts),
          plan,
          done ? std::optional(done->step) : std::nullopt,
          std::move(files),
          std::move(tokenizer),
          std::move(references),
          std::move(held_to).value_or(lora::Adapter{}),
          std::move(report),
          memory.rows_at_once,
          preflight,
          std::move(prompts)};
}

}  // namespace finetune
