// What `finetune train` can be told. Tested by tests/finetune/train_test.cc and train_start_test.cc.
#include "finetune/train/train_options.h"

#include "finetune/weights/load_weights.h"

namespace finetune {
namespace {

constexpr const char* kEvaluation = "Evaluation and early stopping";

}  // namespace

void StartOptions::visit(base::OptionVisitor& v) {
  v("model", model,
    "base model: a Hugging Face folder, a .gguf file or a name in the local cache; else the one that --adapter names",
    base::PathKind::kModel);
  v("adapter", adapter,
    "go on from this adapter (its folder, or a run): it decides all of lora but LoRA+, and "
    "dropout unless one is given",
    base::PathKind::kModel);
  v.choice("method", method, {"lora", "full"}, "lora trains an adapter; full trains every weight and writes a model");
  v("base_name", base_name,
    "name of the base on the hub, ORG/MODEL, which the adapter says of its base instead of a path of this machine");
  v("new_tokens", new_tokens,
    "texts that become tokens of their own: their rows of embedding and head begin with the mean of the others, and "
    "train");
  v("new_special_tokens", new_special_tokens,
    "likewise, special: what a template writes, not what stands in a text (<|im_start|>)");
}

void SourceOptions::visit(base::OptionVisitor& v) {
  v.positional("data", data, "training records: .parquet, .jsonl, .json, .csv, .tsv, .txt, also .zst or .gz; globs");
  v("data_weights", data_weights,
    "mix the data by weight, one for each file or glob of --data: 0.7 0.3; smaller ones repeat in an epoch")
      .at_least(0);
  v("validation_data", validation_data, "validation records, same formats", base::PathKind::kPath);
  v("validation_share", validation_share, "without --validation-data: this share of the examples validates")
      .at_least(0)
      .below(1);
}

void ReadingOptions::visit(base::OptionVisitor& v) {
  v("limit", limit, "read at most this many training records; 0: all");
  v("validation_limit", validation_limit, "read at most this many records of --validation-data; 0: all");
  v("max_bad", max_bad, "more bad records, or a larger share of them (1%), is an error");
  maker.visit(v);
  chat.visit(v);
  v("template_date", template_date,
    "the day that the chat template writes, where it writes one, such as 2026-11-30; without it, today; a run that "
    "goes on keeps its own");
  v("allow_no_end", allow_no_end, "train although no record teaches the model where to stop");
  cache.visit(v);
  v("show_batch", show_batch, "print the first packed row, what is trained marked, and stop without training");
}

void RowOptions::visit(base::OptionVisitor& v) {
  v("max_length", max_length,
    "tokens of a packed row, and the most of one example; not given, at most the model's context")
      .at_least(2)
      .unit("tokens");
  v.choice("too_long", too_long, {"truncate", "drop", "split"}, "what becomes of longer examples");
  v("packing", packing, "several examples in a row (they never see each other)");
}

void PlanOptions::visit(base::OptionVisitor& v) {
  v("steps", steps, "optimizer steps; 0: as many as --epochs needs").between(0, 1e9);
  v("epochs", epochs, "passes over the data, when --steps is 0").above(0).at_most(1e6);
  rows.visit(v);
  v("rows_per_batch", rows_per_batch, "rows that go through the model at once").at_least(1);
  v("accumulate", accumulate, "batches of one optimizer step, which several processes share").at_least(1);
}

void OptimizerOptions::visit(base::OptionVisitor& v) {
  v.heading("Optimizer");
  v("learning_rate", learning_rate, "peak rate, reached after warm-up").above(0);
  v.heading("Schedule");
  ScheduleOptions::visit(v);
  v.heading("Optimizer");
  update.visit(v);
  v("clip", clip, "largest norm of the gradient; 0: no limit").at_least(0);
  v("spike_factor", spike_factor,
    "stop at a step whose loss or gradient is more than so many times its median of the last 32 steps, and save its "
    "rows; 0: never (a loss that is no number always stops)")
      .at_least(0);
  v("neftune_noise_alpha", neftune_noise_alpha, "NEFTune: noise on what the embedding gives while training; 0: none")
      .at_least(0);
}

void LoraOptions::visit(base::OptionVisitor& v) {
  v("rank", rank, "columns of the adapter's matrices: more learn more and cost more").between(1, 65536);
  v("alpha", alpha, "the adapter's output is scaled by alpha / rank").above(0);
  v("dropout", dropout, "share of the adapter's inputs set to zero while training").at_least(0).below(1);
  v("targets", targets, "modules that get an adapter: all-linear, or names such as q_proj, embed_tokens, lm_head")
      .commas();
  v("rslora", rslora, "scale by alpha / sqrt(rank) instead");
  v("dora", dora, "DoRA: the length of every row of a weight trains too");
  v.choice("start", start, {"", "pissa", "olora"},
           "A and B start with the largest part of each weight (pissa, olora), which is taken out of it; else B is 0");
  v("rank_pattern", rank_pattern, "other ranks: EXPRESSION=RANK for the end of a module's name, such as down_proj=8");
  v("alpha_pattern", alpha_pattern, "other alphas, likewise");
  v("dropout_pattern", dropout_pattern, "other dropouts, likewise");
  v("exclude_modules", exclude_modules, "modules that get none, by the end of their names").commas();
  v("layers_to_transform", layers_to_transform, "only these layers get an adapter: 0, 1, ...").commas();
  v("layers_pattern", layers_pattern, "what stands before a layer's number in a name, where that is not plain")
      .commas();
  v("modules_to_save", modules_to_save, "modules that train whole, beside the adapter: embed_tokens, lm_head, norm ...")
      .commas();
  v("trainable_tokens", trainable_tokens,
    "tokens whose rows of the embedding train: their numbers, or texts that are no whole numbers");
  v("ensure_weight_tying", ensure_weight_tying,
    "where the base ties its head to its embedding, what trains of one is the other's too");
  v("loraplus_lr_ratio", loraplus_lr_ratio, "LoRA+: the rate of B as a multiple of A's").above(0);
  v("loraplus_lr_embedding", loraplus_lr_embedding, "LoRA+: the rate of A and B of an embedding").above(0);
}

void ComputeOptions::visit(base::OptionVisitor& v) {
  v.choice("dtype", dtype, {"auto", "float32", "bfloat16"},
           "of the frozen base (the adapter is float32); auto: bfloat16 on CUDA, float32 on a CPU");
  visit_quantization(v, quantization,
                     "of the frozen base: nf4 (QLoRA) and int8 quantise linear layers as they load, keep leaves the "
                     "blocks of a GGUF or bitsandbytes' numbers as they are");
  v.choice("device", device, {"auto", "cpu", "cuda"}, "where to train; auto: CUDA when there is one");
  v("seed", seed,
    "of the adapter's start, the data's order, dropout, and what --validation-share and --data-weights choose");
  v("threads", threads, "CPU threads; 0: all").at_least(0);
  v.choice("gradient_checkpointing", gradient_checkpointing, {"none", "blocks", "auto"},
           "compute blocks again in the backward pass instead of keeping what it needs of them, with the same result: "
           "all of them, or as few as it takes to stay within --memory");
  v("memory", memory, "what training may take, such as 1.5GB; 0: 90 % of what the machine or the GPU has");
}

void IntervalOptions::visit(base::OptionVisitor& v) {
  v.heading(kEvaluation);
  v("eval_every", eval_every, "steps between validations (also before the first and after the last); 0: only those")
      .at_least(0);
  v.heading("Output");
  v("save_every", save_every, "steps between checkpoints (also after the last); 0: only that").at_least(0);
  v("keep_checkpoints", keep_checkpoints, "newest checkpoints to keep").at_least(1);
  v("log_every", log_every, "steps between lines on the terminal (metrics.jsonl has every step)").at_least(1);
}

void OutputOptions::visit(base::OptionVisitor& v) {
  v("output", folder, "output folder: adapter, checkpoints, metrics, report (required but with --show-batch)",
    base::PathKind::kOutputFolder);
}

void OutputOptions::visit_earlier(base::OptionVisitor& v) {
  v("resume", resume, "go on from the newest checkpoint of --output; more --steps or --epochs make the run longer");
  v("overwrite", overwrite, "empty --output first");
}

void TrainOptions::visit(base::OptionVisitor& v) {
  v.heading("Model");
  start.visit(v);
  v.heading("Data");
  sources.visit(v);
  v.heading("Output");
  output.visit(v);
  v.heading("Rows and steps");
  plan.visit(v);
  v.heading("Objective");
  preferences.visit(v);
  optimizer.visit(v);
  v.heading("LoRA");
  v.group("lora", lora);
  v.heading("Computation and memory");
  compute.visit(v);
  intervals.visit(v);
  v.heading(kEvaluation);
  stopping.visit(v);
  samples.visit(v);
  v.heading("Data");
  reading.visit(v);
  v.heading("Output");
  output.visit_earlier(v);
}

}  // namespace finetune
