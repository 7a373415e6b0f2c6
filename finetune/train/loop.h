// The steps of a training, with what comes between them.
#pragma once

#include <optional>

#include "base/interrupt.h"
#include "base/program.h"
#include "finetune/train/early_stopping.h"
#include "finetune/train/group.h"
#include "finetune/train/metrics.h"
#include "finetune/train/objective.h"
#include "finetune/train/train_start.h"

namespace finetune {

enum class Ending { kComplete, kStoppedEarly, kInterrupted };

struct LoopResult {
  Ending ending = Ending::kComplete;
  std::optional<Best> best;  ///< of the validations, in the first process of the group
};

/// Trains to the end of the plan, to where validation says that it is enough, or until a signal, saved. The first
/// process of `group` has a `log`, validates and writes; the others have none. Throws base::Error for a step that must
/// not be taken, whose rows it writes to bad-step-N.jsonl in the output folder.
LoopResult train(TrainStart& start, const TrainOptions& options, const Objective& objective, const Group& group,
                 const base::Interrupt& interrupt, MetricsLog* log, base::Context& context);

/// The adapter of the model, as it is saved.
lora::Adapter adapter_of(const Transformer& model, const StartOptions& start);

}  // namespace finetune
