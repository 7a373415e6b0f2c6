// `finetune eval`: loss and perplexity of a model on records.
#pragma once

#include "base/program.h"

namespace finetune {

base::Command eval_command();

}  // namespace finetune
