// All that `finetune train` checks and loads before it writes anything: a start that fails leaves no trace.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/program.h"
#include "finetune/model/model.h"
#include "finetune/train/checkpoint.h"
#include "finetune/train/group.h"
#include "finetune/train/optimizer.h"
#include "finetune/train/preflight.h"
#include "finetune/train/references.h"
#include "finetune/train/report.h"
#include "finetune/train/train_data.h"
#include "finetune/train/train_options.h"

namespace finetune {

/// How many steps, of how many rows. A step takes accumulate x rows_per_batch rows, the last one what is left.
struct Plan {
  std::int64_t first_step = 0, first_row = 0;  ///< done by the run that is resumed
  std::int64_t steps = 0, rows = 0;            ///< in all
  std::int64_t rows_per_step = 0;
  Phases phases;
};

/// A run that can begin.
struct TrainStart {
  TrainingData data;
  Transformer model;
  std::unique_ptr<Optimizer> optimizer;
  std::string first_hash;                    ///< of what trains, before the first step of the run; "": not known
  std::map<std::string, std::string> facts;  ///< see Checkpoint
  Plan plan;
  std::optional<std::int64_t> resume_step;
  std::unique_ptr<lora::ModelFiles> files;          ///< the base's
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;  ///< with the chat template that is trained
  References references;                            ///< of pairs, as far as they are known (refer.h)
  lora::Adapter held_to;                            ///< what they are computed with, beside the base
  ReportFacts report;
  std::int64_t rows_at_once = 0;  ///< MemoryPlan's
  Preflight preflight;
  std::vector<SamplePrompt> prompts;  ///< of samples.jsonl
};

/// What a training needs but the weights.
struct TrainInputs {
  std::unique_ptr<lora::ModelFiles> files;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
  TrainingData data;
  std::optional<lora::Adapter> adapter;  ///< that it goes on from
  std::optional<Checkpoint> checkpoint;  ///< of the run that is resumed
};

/// The first half of prepare_training.
TrainInputs read_inputs(TrainOptions& options, base::Context& context);

/// Throws base::Error, with nothing written, when the run cannot begin. Takes `options.lora` from
/// `options.start.adapter` when there is one.
TrainStart prepare_training(TrainOptions& options, base::Context& context, const Group& group = OneProcess());

/// Equal for equal numbers in the same order.
std::string hash_of(const at::Tensor& values);

}  // namespace finetune
