// What an adapter holds, counted, for people and for --json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lora/adapter/adapter.h"

namespace lora {

/// "14 LoRA modules (DoRA), 2 whole modules, 3 rows of tokens": what is there.
std::string contents_text(const Adapter& adapter);
/// Members "modules", "dora", "whole_modules" and "token_rows" into `result`.
void add_contents(const Adapter& adapter, nlohmann::ordered_json& result);

}  // namespace lora
