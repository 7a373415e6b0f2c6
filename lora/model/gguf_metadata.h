// The metadata of GGUF files that hold a model (keys: llama.cpp's convert_hf_to_gguf.py).
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/gguf.h"
#include "lora/model/model_files.h"
#include "lora/model/weight_type.h"

namespace lora {

/// Everything a GGUF of `model` needs. Of a GGUF base all keys are copied as they are, but the file type; of a Hugging
/// Face folder they are made from config.json and the tokenizer's files. `type` is the type of the matrices.
GgufMetadata gguf_metadata(const ModelFiles& model, WeightType type);

/// Tensors of a GGUF that follow from the config: what rope's waves are stretched by.
std::vector<std::pair<std::string, std::vector<float>>> rope_tensors(const ModelConfig& config);

/// What llama.cpp computes otherwise with a GGUF of this model, for people; "" when nothing.
std::string gguf_note(const ModelConfig& config);

/// A name for people: "SmolLM2-135M" of a folder or file, "org/model" of a snapshot in the Hugging Face cache.
std::string model_name(const std::filesystem::path& path);

/// "135M", "1.2B": parameters with two digits, as the gguf package writes general.size_label.
std::string size_label(std::uint64_t parameters);

}  // namespace lora
