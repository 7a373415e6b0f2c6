// What makes a run the same run: told to a later process that resumes it, and among the processes that train together.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "finetune/train/group.h"
#include "finetune/train/train_data.h"
#include "finetune/train/train_options.h"
#include "lora/model/model_files.h"

namespace finetune {

/// Values under the names of the options.
using RunFacts = std::map<std::string, std::string>;

/// All that decides the bytes of the adapter (given one machine and thread count), and what validates, but the number
/// of steps. `first_hash`: of the values that an adapter which training goes on from begins with.
RunFacts facts_of(const TrainOptions& options, const lora::ModelFiles& files, const TrainingData& data,
                  at::ScalarType dtype, const std::string& first_hash);

/// Throws base::UsageError naming an option that differs between the run that was saved and the one now. Another number
/// of steps is allowed, which makes the run longer or shorter, and so are rows at once, which another memory gives.
void check_same_run(const RunFacts& saved, const RunFacts& now);

/// Throws base::UsageError where the chat template of the checkpoint ("": none) is another: the result carries it, even
/// where the examples come out the same.
void check_same_template(const std::string& saved, const std::string& now);

/// Throws base::UsageError, in every process of `group`, naming what differs and in which, unless all have the same
/// facts. Needs no equal shapes, so that it comes before whatever else they exchange.
void check_same_in_group(const RunFacts& own, const Group& group);

}  // namespace finetune
