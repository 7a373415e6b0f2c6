// What the families of Qwen share.
#pragma once

#include "lora/model/config_keys.h"

namespace lora {

/// "use_sliding_window": the layers from max_window_layers on have a window, where layer_types does not say. llama.cpp
/// computes no window of theirs.
void qwen_windows(ConfigKeys& keys, ModelConfig& config);

}  // namespace lora
