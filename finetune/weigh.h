// `finetune weigh`: by how much each of several adapters should count in `lora fuse`.
#pragma once

#include "base/program.h"

namespace finetune {

base::Command weigh_command();

}  // namespace finetune
