// What a person should know as a run starts. Tested by tests/finetune/train_start_test.cc.
#include "finetune/train/start_notes.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/pipeline.h"
#include "base/text.h"
#include "finetune/kernels/device.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/peft_notes.h"
#include "lora/locate.h"
#include "lora/model/weight_type.h"

namespace finetune {

namespace fs = std::filesystem;

void tell_changed(const fs::path& run_yaml, base::Context& context) {
  if (context.quiet || !context.options || !fs::exists(run_yaml)) return;
  static const std::set<std::string> kOwn = {"resume", "overwrite", "show_batch", "threads", "output"};
  const std::string earlier = base::read_file(run_yaml);
  const std::vector<std::string> before = base::split(earlier, '\n');
  std::vector<std::string> changed;
  for (const std::string& line : base::split(context.options->to_yaml(), '\n'))
    if (!kOwn.contains(std::string(base::trim(line.substr(0, line.find(':'))))) &&
        std::ranges::find(before, line) == before.end())
      changed.push_back(base::shortened(base::trim(line)));
  if (changed.size() > 5) changed.resize(5), changed.push_back("...");
  if (!changed.empty())
    fmt::print(context.err, "note: with other options than {} has: {}\n", run_yaml.string(), base::join(changed, ", "));
}

// Stopping takes the first validation, and then as many that are no better, before the last step.
void tell_patience(std::int64_t steps, const TrainOptions& options, base::Context& context) {
  const std::int64_t patience{options.stopping.early_stopping_patience}, every{options.intervals.eval_every};
  if (context.quiet || patience == 0) return;
  const std::int64_t validations{(steps - 1) / every};
  if (validations <= patience)
    fmt::print(
        context.err,
        "note: --early-stopping-patience {} cannot stop this run: {} validations before its last step, one every "
        "{} of {} steps (--eval-every)\n",
        patience, validations, every, steps);
}

void tell_rows_at_once(const RunFacts& saved, const RunFacts& now, base::Context& context) {
  const auto before = saved.find("rows_at_once");
  if (context.quiet || before == saved.end() || before->second == now.at("rows_at_once")) return;
  fmt::print(context.err,
             "note: goes on with {} rows at once, not {} as before: the result differs by rounding from that of a run "
             "which did not change; --memory decides it\n",
             now.at("rows_at_once"), before->second);
}

void tell_parted(const lora::Adapter& adapter, const lora::ModelFiles& files, base::Context& context) {
  if (!context.quiet && lora::parts_head(adapter, files))
    fmt::print(context.err,
               "note: the base ties its head to the embedding, and this adapter parts them, so that a merged model has "
               "both; --lora.ensure-weight-tying keeps them one\n");
}

void tell_dropouts(const lora::ModelFiles& files, base::Context& context) {
  const fs::path file = files.path() / "config.json";
  if (context.quiet || files.is_gguf() || !fs::exists(file)) return;
  const auto config = nlohmann::json::parse(base::read_file(file), nullptr, false);
  for (const char* key : {"attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "hidden_dropout"})
    if (const auto found = config.find(key); found != config.end() && found->is_number() && found->get<double>() > 0)
      fmt::print(context.err, "note: {} {} of config.json, which transformers applies in training, is not applied\n",
                 key, found->get<double>());
}

void tell_rounding(const lora::ModelFiles& files, base::Context& context) {
  const base::DType type = lora::natural_type(files);
  if (!context.quiet && type != base::DType::kF32)
    fmt::print(
        context.err,
        "note: the model is written in {}, as its base: what changes less than that rounds is lost, so that its "
        "loss differs a little from those below; lora convert MODEL --dtype float32 makes a base that keeps all\n",
        base::name_of(type));
}

void tell_threads(int threads, base::Context& context) {
  const int processors{static_cast<int>(base::thread_count(0))};
  if (!context.quiet && threads > processors)
    fmt::print(context.err, "note: --threads {} on {} processors: more threads than processors are slower\n", threads,
               processors);
}

void tell_shares(const PlanOptions& options, int processes, base::Context& context) {
  const bool takes_batches{options.accumulate >= processes};
  const std::int64_t shared{takes_batches ? options.accumulate : options.accumulate * options.rows_per_batch};
  if (context.quiet || shared % processes == 0) return;
  const std::int64_t idle{processes - shared};
  fmt::print(
      context.err, "note: a step has {} {}{} for {} processes: {}; --accumulate {} gives each as much\n", shared,
      takes_batches ? "batch" : "row",
      shared == 1     ? ""
      : takes_batches ? "es"
                      : "s",
      processes,
      idle > 0 ? fmt::format("{} of them {} nothing to do", idle, idle == 1 ? "has" : "have") : "some wait for others",
      (options.accumulate + processes - 1) / processes * processes);
}

void tell_devices(int devices, int processes, base::Context& context) {
  if (!context.quiet && processes == 1 && devices > 1)
    fmt::print(context.err,
               "note: one of {} devices trains; torchrun --no-python --nproc-per-node {} finetune train ... "
               "--accumulate {} takes all, CUDA_VISIBLE_DEVICES=0 hides the others\n",
               devices, devices, devices);
}

void tell_bfloat16(const std::string& dtype, at::Device device, bool goes_on, base::Context& context) {
  if (context.quiet || goes_on || dtype != "auto" || !device.is_cpu() || !multiplies_bfloat16()) return;
  fmt::print(context.err,
             "note: this processor multiplies bfloat16 ({}): --dtype bfloat16 is {} and takes less memory\n",
             has_tiles() ? "AMX" : "avx512_bf16", has_tiles() ? "two to three times as fast" : "faster");
}

void tell_other_base(const std::string& run_or_adapter, const std::string& quantization, base::Context& context) {
  const std::string rounded = lora::rounded_base_of(lora::adapter_folder(run_or_adapter));
  if (!context.quiet && !rounded.empty() && rounded != quantization)
    fmt::print(
        context.err,
        "note: {} was trained on its base rounded to {}, and goes on here with --quantization {}: another base\n",
        run_or_adapter, rounded, quantization);
}

void tell_experts(const lora::Adapter& adapter, const lora::ModelFiles& files, base::Context& context) {
  const std::string note = lora::stacked_experts_note(adapter, files.spec());
  if (!context.quiet && !note.empty()) fmt::print(context.err, "{}\n", note);
}

}  // namespace finetune
