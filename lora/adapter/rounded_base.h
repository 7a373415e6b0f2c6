// What an adapter knows of how its base was kept while it trained. Tested by tests/lora/adapter/adapter_test.cc.
#pragma once

#include <map>
#include <string>

#include "base/gguf.h"
#include "lora/adapter/adapter_config.h"

namespace lora {

using TensorMetadata = std::map<std::string, std::string>;  ///< __metadata__ of a .safetensors file

/// That of an adapter's tensors: {"format": "pt"}, as PEFT writes it, and "base_quantization" where the base was
/// rounded. PEFT and mlx-lm read neither.
TensorMetadata metadata_of(const AdapterSettings& adapter);
/// AdapterSettings::rounded_base out of it. `file` is for errors. Throws base::Error for a value that is not known.
std::string rounded_base_in(const TensorMetadata& metadata, const std::string& file);

inline constexpr const char* kRoundedBaseKey = "adapter.base_quantization";  ///< the same in a GGUF
std::string rounded_base_in(const base::GgufReader& gguf);

}  // namespace lora
