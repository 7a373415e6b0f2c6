// Does what was exported compute what its base with the adapter computes?
#pragma once

#include "base/program.h"

namespace finetune {

base::Command verify_command();

}  // namespace finetune
