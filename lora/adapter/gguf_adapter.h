// Adapters for other runtimes: llama.cpp's GGUF LoRA, and PEFT folders that need no patterns.
#pragma once

#include <filesystem>

#include "base/tensor.h"
#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// Writes `adapter` as a GGUF LoRA for a GGUF of `base` (format: llama.cpp's convert_lora_to_gguf.py and
/// llama-adapter.cpp): rows of B of q_proj and k_proj in GGUF's order, and one adapter.lora.alpha such that llama.cpp's
/// alpha / rank is every module's scale; where modules differ, the rest is multiplied into B. `type` is F32 or F16.
/// Throws Error when the adapter does not fit `base`.
void write_gguf_adapter(const Adapter& adapter, const ModelFiles& base, const std::filesystem::path& file,
                        base::DType type = base::DType::kF32);

/// Throws Error naming what the adapter has beside A and B of linear layers, which `runtime` cannot carry.
void check_only_lora(const Adapter& adapter, const std::string& runtime);

/// The same deltas with one rank, alpha / rank as the scale of every module, no rsLoRA and no patterns, for runtimes
/// that know only r and lora_alpha (vLLM drops patterns, SGLang drops rsLoRA). Smaller ranks are padded with zeros.
Adapter bake_scale(Adapter adapter);
/// The same of any adapter, DoRA's magnitudes as they are.
Adapter with_one_scale(Adapter adapter);

}  // namespace lora
