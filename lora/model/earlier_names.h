// Models saved before their family came to transformers: their keys and tensors under today's names.
// Tested by tests/lora/model/earlier_names_test.cc.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/tensor.h"

namespace lora {

/// Falcon's (RefinedWeb), as transformers' convert_custom_code_checkpoint.py renames its keys, and Phi's (phi-msft,
/// mixformer-sequential), as its convert_phi_weights_to_hf.py did. Any other config.json is given back as it is.
/// `file` for messages.
nlohmann::json with_keys_of_today(nlohmann::json config, const std::string& file);

/// The same of tensors: Phi's q, k and v are rows of one matrix. Others are given back as they are.
std::vector<base::TensorView> with_names_of_today(const nlohmann::json& config,
                                                  const std::vector<base::TensorView>& tensors);

}  // namespace lora
