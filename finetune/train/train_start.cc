#include "finetune/train/train_start.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/inputs.h"
#include "base/outputs.h"
#include "base/pipeline.h"
#include "base/random.h"
#include "base/text.h"
#include "finetune/data/packing.h"
#include "finetune/kernels/device.h"
#include "finetune/model/load.h"
#include "finetune/train/checkpoint.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/model_card.h"
#include "lora/locate.h"
#include "lora/model/identity.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

void check_options(const TrainOptions& options) {
  if (options.model.empty() && options.adapter.empty())
    throw base::UsageError({"no model", "--model", "", "a Hugging Face folder or a .gguf file", ""});
  if (!options.base_name.empty()) lora::check_base_name(options.base_name);
  if (options.data.empty()) throw base::UsageError({"no training data", "--data", "", "one or more files", ""});
  if (!options.validation_data.empty() && options.validation_share > 0)
    throw base::UsageError("give --validation-data or --validation-share, not both");
}

// `adapter`, from which training goes on, decides the LoRA options; one that says otherwise is refused.
void take_lora(TrainOptions& options, const lora::Adapter& adapter, const lora::ModelSpec& spec,
               const base::OptionSet* declared) {
  auto is_given = [&](const char* name) { return declared && declared->find(name)->given; };
  auto take = [&](const char* name, auto& option, const auto& value, auto text) {
    if (is_given(name) && option != value) {
      throw base::UsageError({"the adapter that training goes on from has another value", std::string("--") + name,
                              text(option), text(value) + ", as in " + options.adapter, "leave the option out"});
    }
    option = value;
  };
  auto plain = [](auto value) { return fmt::format("{}", value); };
  options.lora.targets = lora::expand_targets(spec, options.lora.targets);
  take("lora.rank", options.lora.rank, adapter.rank, plain);
  take("lora.alpha", options.lora.alpha, adapter.alpha, plain);
  take("lora.dropout", options.lora.dropout, adapter.dropout, plain);
  take("lora.rslora", options.lora.rslora, adapter.rslora, plain);
  take("lora.targets", options.lora.targets, adapter.targets,
       [](const std::vector<std::string>& names) { return base::join(names, ", "); });
}

// A template made for other models may write tokens that this one does not have.
void tell_template(const tokenizer::ChatTemplate& chat, base::Context& context) {
  if (context.quiet || chat.missing_tokens().empty()) return;
  fmt::print(context.err, "note: the chat template writes {}, for which the tokenizer has no token: plain characters\n",
             base::join(chat.missing_tokens(), ", "));
}

TrainingData read_data(const TrainOptions& options, const lora::ModelFiles& files,
                       const tokenizer::Tokenizer& tokenizer, base::Context& context) {
  const std::vector<std::string> training_files = base::expand_inputs(options.data, context),
                                 validation_files = base::expand_inputs(options.validation_data, context);
  const ExampleMaker maker(tokenizer, options.reading);
  if (maker.chat_template() != nullptr) tell_template(*maker.chat_template(), context);
  auto read = [&](const char* title, const std::vector<std::string>& inputs, std::uint64_t limit) {
    const DataOptions limits{options.max_length, options.too_long, limit,
                             options.max_bad,    options.threads,  options.reading.text};
    Dataset dataset = read_dataset(inputs, maker, limits);
    if (!context.quiet) fmt::print(context.err, "{}: {}\n", title, dataset.report.to_text(limits));
    for (const Example& example : dataset.examples) check_ids(example.ids, files.config());
    return std::move(dataset.examples);
  };
  TrainingData data;
  data.training = read("training data", training_files, options.limit);
  if (!options.validation_data.empty()) {
    data.validation = read("validation data", validation_files, options.validation_limit);
  } else if (options.validation_share > 0) {
    const std::size_t all = data.training.size();
    data.validation = take_validation(data.training, options.validation_share, options.seed);
    if (!context.quiet)
      fmt::print(context.err, "validation data: {} of {} examples held out, {} left to train on\n",
                 base::human_count(data.validation.size()), base::human_count(all),
                 base::human_count(data.training.size()));
  }
  return data;
}

// What the options and the data ask for, behind what `checkpoint` (nullptr: none) has done.
Plan make_plan(const TrainOptions& options, const TrainingData& data, const Checkpoint* checkpoint) {
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
    const auto per_epoch = static_cast<double>(plan_rows(data.training, options.max_length, options.packing, 0).size());
    plan.rows = std::max<std::int64_t>(1, std::llround(options.epochs * per_epoch));
    auto steps_of = [&](std::int64_t rows) { return (rows + plan.rows_per_step - 1) / plan.rows_per_step; };
    if (plan.rows < plan.first_row) refuse("--epochs", options.epochs, steps_of(plan.rows));
    plan.steps = plan.first_step + steps_of(plan.rows - plan.first_row);
  }
  plan.warmup = options.warmup_steps > 0
                    ? options.warmup_steps
                    : static_cast<std::int64_t>(std::ceil(options.warmup_ratio * static_cast<double>(plan.steps)));
  return plan;
}

std::string hash_of(const at::Tensor& values) {
  std::uint64_t hash = base::mix64(static_cast<std::uint64_t>(values.numel()));
  const at::Tensor flat = values.cpu().contiguous();
  const float* data = flat.const_data_ptr<float>();
  for (std::int64_t i = 0; i < flat.numel(); ++i) hash = base::mix64(hash ^ std::bit_cast<std::uint32_t>(data[i]));
  return fmt::format("{:016x}", hash);
}

// All that decides the bytes of the adapter (given one machine and thread count) but the number of steps, under the
// names of the options.
std::map<std::string, std::string> facts_of(const TrainOptions& options, const lora::ModelFiles& files,
                                            const TrainingData& data, at::ScalarType dtype,
                                            const at::Tensor& first_values) {
  auto text = [](auto value) { return fmt::format("{}", value); };
  return {{"model", lora::identity_of(files)},
          {"adapter", options.adapter.empty() ? "" : hash_of(first_values)},
          {"data", fmt::format("{:016x}", fingerprint(data.training))},
          {"limit", text(options.limit)},
          {"too_long", options.too_long},
          {"validation_share", text(options.validation_share)},
          {"allow_special", text(options.reading.allow_special)},
          {"roles", base::join(options.reading.roles, ",")},
          {"train_on", options.reading.train_on.train_on},
          {"chat_template", options.chat.chat_template},
          {"max_length", text(options.max_length)},
          {"packing", text(options.packing)},
          {"rows_per_batch", text(options.rows_per_batch)},
          {"accumulate", text(options.accumulate)},
          {"learning_rate", text(options.learning_rate)},
          {"schedule", options.schedule},
          {"warmup_steps", text(options.warmup_steps)},
          {"warmup_ratio", text(options.warmup_ratio)},
          {"weight_decay", text(options.weight_decay)},
          {"clip", text(options.clip)},
          {"lora.rank", text(options.lora.rank)},
          {"lora.alpha", text(options.lora.alpha)},
          {"lora.dropout", text(options.lora.dropout)},
          {"lora.targets", base::join(lora::expand_targets(files.spec(), options.lora.targets), ",")},
          {"lora.rslora", text(options.lora.rslora)},
          {"dtype", dtype == at::kFloat ? "float32" : "bfloat16"},
          {"seed", text(options.seed)}};
}

// Says what a person would not expect of the plan.
void tell_plan(const Plan& plan, std::int64_t warmup, const Checkpoint* checkpoint, base::Context& context) {
  if (context.quiet) return;
  if (plan.warmup < warmup)
    fmt::print(context.err, "warm-up: {} of {} steps, not {}: it never takes the whole run\n", plan.warmup, plan.steps,
               warmup);
  if (!checkpoint || checkpoint->facts.at("steps") == std::to_string(plan.steps)) return;
  fmt::print(context.err, "the run has {} steps now, not {}: from step {} on the rate follows the new schedule\n",
             plan.steps, checkpoint->facts.at("steps"), plan.first_step + 1);
}

}  // namespace

TrainStart prepare_training(TrainOptions& options, base::Context& context) {
  set_threads(base::thread_count(options.threads));
  check_options(options);
  const at::Device device = choose_device(options.device);
  const at::ScalarType dtype = choose_dtype(options.dtype, device);
  const fs::path output = options.output;
  base::check_output_folder(output, options.resume, options.overwrite);
  if (options.model.empty()) options.model = base_of(options.adapter);
  auto files = std::make_unique<lora::ModelFiles>(options.model);
  lora::tell_notes(*files, context);
  lora::expand_targets(files->spec(), options.lora.targets);  // throws
  base::check_outputs({output}, {files->path()});             // a model by its hub name too
  if (options.max_length > files->config().context_length) {
    throw base::UsageError({"rows longer than the model's context", "--max-length",
                            fmt::format("{}", options.max_length),
                            fmt::format("at most {}", files->config().context_length), ""});
  }
  std::optional<lora::Adapter> adapter;
  if (!options.adapter.empty()) {
    adapter = load_adapter(options.adapter, *files, options.threads);
    take_lora(options, *adapter, files->spec(), context.options);
  }
  std::optional<Checkpoint> checkpoint;
  if (options.resume) checkpoint = read_newest_checkpoint(output / "checkpoints");
  const Checkpoint* done = checkpoint ? &*checkpoint : nullptr;

  const fs::path adapter_folder = options.adapter.empty() ? fs::path() : lora::adapter_folder(options.adapter);
  auto tokenizer = lora::tokenizer_of(*files, adapter_folder, options.chat.chat_template);
  TrainingData data = read_data(options, *files, *tokenizer, context);
  Transformer model(*files, dtype, device);
  if (adapter) {
    model.attach(*adapter);
  } else {
    model.attach(options.lora.targets, options.lora.rank, options.lora.alpha, options.lora.dropout, options.lora.rslora,
                 options.seed);
  }
  AdamW optimizer(model.parameters(), {.weight_decay = options.weight_decay});
  at::Tensor first_values = optimizer.values().clone();
  // Each checkpoint holds the adapter and two moments, one more is written before the oldest goes.
  base::check_free_space(output,
                         static_cast<std::uint64_t>(first_values.nbytes()) *
                             (3 * static_cast<std::uint64_t>(options.keep_checkpoints + 1) + 1),
                         options.overwrite);

  std::map<std::string, std::string> facts = facts_of(options, *files, data, dtype, first_values);
  if (done) check_same_run(done->facts, facts);
  Plan plan = make_plan(options, data, done);
  facts["steps"] = std::to_string(plan.steps);
  const std::int64_t warmup = plan.warmup;
  plan.warmup = std::min(warmup, plan.steps - 1);
  if (done) optimizer.restore(flat_values(done->adapter), done->first_moment, done->second_moment, done->step);
  tell_plan(plan, warmup, done, context);
  const bool is_new_plan = done && done->facts.at("steps") != facts.at("steps");
  if (!context.quiet) {
    fmt::print(context.err, "{} adapter parameters train ({} on {}), {} steps of up to {} rows{}\n",
               base::human_count(static_cast<std::uint64_t>(first_values.numel())),
               dtype == at::kFloat ? "float32" : "bfloat16", device.str(), plan.steps, plan.rows_per_step,
               done ? fmt::format(", going on after step {}", done->step) : "");
  }
  return {std::move(data),
          std::move(model),
          std::move(optimizer),
          first_values,
          std::move(facts),
          plan,
          done ? std::optional(done->step) : std::nullopt,
          is_new_plan,
          std::move(files),
          std::move(tokenizer)};
}

}  // namespace finetune
