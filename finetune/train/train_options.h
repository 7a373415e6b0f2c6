// What `finetune train` can be told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/tolerance.h"
#include "finetune/data/data.h"

namespace finetune {

struct LoraOptions {
  std::int64_t rank = 16;
  double alpha = 32, dropout = 0;
  std::vector<std::string> targets = {"all-linear"};
  bool rslora = false;
  void visit(base::OptionVisitor& v);
};

struct TrainOptions {
  std::string model, adapter, base_name;
  std::vector<std::string> data, validation_data;
  double validation_share = 0;
  std::string output;
  std::int64_t steps = 0;
  double epochs = 1;
  std::int64_t max_length = 1024;
  std::string too_long = "truncate";
  bool packing = true;
  std::int64_t rows_per_batch = 1, accumulate = 1;
  double learning_rate = 2e-4;
  std::string schedule = "cosine";
  std::int64_t warmup_steps = 0;
  double warmup_ratio = 0.03;
  double weight_decay = 0, clip = 1;
  LoraOptions lora;
  std::string dtype = "auto", device = "auto";
  std::uint64_t seed = 42;
  int threads = 0;
  std::int64_t eval_every = 100, save_every = 100, keep_checkpoints = 2, log_every = 1;
  std::uint64_t limit = 0, validation_limit = 0;
  base::Tolerance max_bad{100};
  MakerOptions reading;
  tokenizer::TemplateOptions chat{};
  bool resume = false, overwrite = false;
  void visit(base::OptionVisitor& v);
};

}  // namespace finetune
