// What `finetune train` can be told. Each part is what some function of it needs; the headings of the
// help are those of TrainOptions::visit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/tolerance.h"
#include "finetune/data/data_cache.h"
#include "finetune/train/early_stopping.h"
#include "finetune/train/optimizer_options.h"
#include "finetune/train/preferences.h"
#include "finetune/train/samples.h"
#include "finetune/train/schedule.h"
#include "lora/adapter/fresh.h"
#include "tokenizer/chat/template_source.h"

namespace finetune {

/// What training starts from.
struct StartOptions {
  std::string model, adapter, base_name, method = "lora";
  std::vector<std::string> new_tokens, new_special_tokens;
  bool trains_all() const { return method == "full"; }
  void visit(base::OptionVisitor& v);
};

/// Which records train, which validate.
struct SourceOptions {
  std::vector<std::string> data, validation_data;
  std::vector<double> data_weights;
  double validation_share = 0;
  void visit(base::OptionVisitor& v);
};

/// How records become examples.
struct ReadingOptions {
  std::uint64_t limit = 0, validation_limit = 0;
  base::Tolerance max_bad{100};
  MakerOptions maker;
  tokenizer::TemplateOptions chat{};
  std::string template_date;
  CacheOptions cache;
  bool allow_no_end = false, show_batch = false;
  void visit(base::OptionVisitor& v);
};

/// How examples become rows.
struct RowOptions {
  std::int64_t max_length = 1024;
  std::string too_long = "truncate";
  bool packing = true;
  void visit(base::OptionVisitor& v);
};

/// How many steps, of how many rows each.
struct PlanOptions {
  std::int64_t steps = 0;
  double epochs = 1;
  RowOptions rows;
  std::int64_t rows_per_batch = 1, accumulate = 1;
  void visit(base::OptionVisitor& v);
};

/// What a step does to the adapter.
struct OptimizerOptions : ScheduleOptions {
  double learning_rate = 2e-4;
  UpdateOptions update;
  double clip = 1, spike_factor = 0, neftune_noise_alpha = 0;
  void visit(base::OptionVisitor& v);
};

struct LoraOptions : lora::FreshOptions {
  std::vector<std::string> trainable_tokens;  ///< their numbers, or texts: FreshOptions::tokens
  double loraplus_lr_ratio = 1, loraplus_lr_embedding = 1e-6;
  void visit(base::OptionVisitor& v);
};

/// Where and how it is computed, the random numbers among it.
struct ComputeOptions {
  std::string dtype = "auto", quantization = "none", device = "auto";
  std::uint64_t seed = 42;
  int threads = 0;
  std::string gradient_checkpointing = "auto";
  base::ByteSize memory;  ///< 0: what the machine has
  void visit(base::OptionVisitor& v);
};

/// How often something is told or saved, in steps.
struct IntervalOptions {
  std::int64_t eval_every = 100, save_every = 100, keep_checkpoints = 2, log_every = 1;
  void visit(base::OptionVisitor& v);
};

/// The folder of the run, and what becomes of an earlier run in it.
struct OutputOptions {
  std::string folder;
  bool resume = false, overwrite = false;
  void visit(base::OptionVisitor& v);
  void visit_earlier(base::OptionVisitor& v);  ///< `resume` and `overwrite`
};

struct TrainOptions {
  StartOptions start;
  SourceOptions sources;
  OutputOptions output;
  PlanOptions plan;
  PreferenceOptions preferences;
  OptimizerOptions optimizer;
  LoraOptions lora;
  ComputeOptions compute;
  IntervalOptions intervals;
  StoppingOptions stopping;
  SampleOptions samples;
  ReadingOptions reading;
  void visit(base::OptionVisitor& v);
};

}  // namespace finetune
