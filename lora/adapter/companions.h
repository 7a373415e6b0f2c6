// The files beside a model's weights: config.json, generation_config.json, the tokenizer's.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lora/model/model_files.h"
#include "lora/model/weight_type.h"

namespace lora {

/// config.json of `model` with weights of `type`: the base's own with what its tensors say otherwise, or one made of a
/// GGUF's metadata. Throws base::Error for what cannot be said.
std::string config_text(const ModelFiles& model, WeightType type);

/// Adds to `config`, perhaps of transformers 5, what transformers 4 and mlx-lm read of RoPE, types, windows and
/// experts, as `made` says it, where it is not there: they do not know rope_parameters and would fall back to theta
/// 10000.
void add_other_readers(nlohmann::ordered_json& config, const nlohmann::ordered_json& made);

/// The files beside the weights that are the tokenizer's: of a Hugging Face base those of `names`, all that is there
/// when it is empty; of a GGUF base they are made from its metadata.
void write_tokenizer(const ModelFiles& model, const std::filesystem::path& folder,
                     const std::vector<std::string>& names = {});

/// The files beside weights and config.json, of which `config` is the text: the tokenizer's, generation_config.json.
void write_companions(const ModelFiles& model, const std::string& config, const std::filesystem::path& folder);

}  // namespace lora
