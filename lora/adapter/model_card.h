// The page that lies beside an adapter (README.md): which base it belongs to and how it is loaded.
#pragma once

#include <filesystem>
#include <string>

#include "lora/adapter/adapter.h"

namespace lora {

/// Throws UsageError unless `name` is a hub name, "org/model".
void check_base_name(const std::string& name);
/// Writes `folder`/README.md, a model card as the Hugging Face hub reads it. A base that is only a path of this machine
/// is named by its last part and not in the card's metadata, which the hub would refuse. `origin`: a paragraph that
/// says what the adapter was made of; may be empty.
void write_model_card(const Adapter& adapter, const std::filesystem::path& folder, const std::string& origin = "");

}  // namespace lora
