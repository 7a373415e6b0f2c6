// What mlx-lm computes otherwise than transformers, or not at all: found by running it (scripts/oracle/check_mlx.py),
// mlx-lm 0.32.2. Tested by tests/lora/model/mlx_limits_test.cc.
#pragma once

#include <string>

#include "lora/model/model_files.h"

namespace lora {

/// Why mlx-lm loads no model of this config, or computes every text otherwise; "" when it serves it.
std::string not_in_mlx(const ModelConfig& config);

/// What it computes otherwise for some texts, for people: a line; "" when nothing.
std::string mlx_note(const ModelConfig& config);

/// Why it would not read the files of this model as they are, though it serves what `lora merge` makes of them: it
/// reads folders, and RoPE as transformers 4 writes it; "" when it reads them.
std::string not_as_mlx_base(const ModelFiles& base);

}  // namespace lora
