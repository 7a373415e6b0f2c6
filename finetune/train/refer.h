// The references of a run before its first step.
#pragma once

#include "base/interrupt.h"
#include "base/program.h"
#include "finetune/train/group.h"
#include "finetune/train/train_start.h"

namespace finetune {

/// Fills ExampleView::reference of the examples that the steps to come and the validations will read, from
/// `start.references` or, where they are missing there, by the model; what it computes is kept in the output folder,
/// which must exist, from time to time. Nothing for objectives without one. False where a signal ended it, in every
/// process.
bool refer(TrainStart& start, const TrainOptions& options, const Group& group, const base::Interrupt& interrupt,
           base::Context& context);

}  // namespace finetune
