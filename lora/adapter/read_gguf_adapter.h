// A LoRA adapter out of a GGUF, as llama.cpp's converter and `lora export` write it.
#pragma once

#include <filesystem>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// True of a .gguf file that says it is an adapter.
bool is_gguf_adapter(const std::filesystem::path& file);
/// Its modules under the names of a GGUF, "blk.0.attn_q", which only a base can translate. Throws base::Error for what
/// is not LoRA, and for tensors that are none of it.
Adapter read_gguf_adapter(const std::filesystem::path& file);
/// Such an adapter with the modules and the order of rows of `base`; any other is given back as it is. Throws
/// base::Error for a base of another architecture, and for tensors that it does not have.
Adapter without_gguf_names(const ModelFiles& base, Adapter adapter);

}  // namespace lora
