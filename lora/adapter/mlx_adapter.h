// Adapters as mlx-lm keeps them: adapters.safetensors, and adapter_config.json with other keys than PEFT's.
#pragma once

#include <filesystem>
#include <string>

#include "lora/adapter/adapter.h"

namespace lora {

/// True where `folder` holds adapters.safetensors and no adapter_model.safetensors.
bool is_mlx_adapter(const std::filesystem::path& folder);
/// Throws base::Error for what mlx-lm would not compute as it is meant, and for what is not known: a whole model,
/// stacks of experts, tensors of modules that "keys" does not name.
Adapter read_mlx_adapter(const std::filesystem::path& folder);
/// Writes the two files, config last. mlx-lm has one rank and one scale for all modules: smaller ranks are filled up
/// with zeros, and scales that differ go into B. Throws base::Error for what mlx-lm has no place for.
void write_mlx_adapter(const Adapter& adapter, const std::filesystem::path& folder);

}  // namespace lora
