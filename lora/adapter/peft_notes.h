// What PEFT would not do with an adapter that is right here.
#pragma once

#include <string>

#include "lora/adapter/adapter.h"
#include "lora/model/spec.h"

namespace lora {

/// Whether an adapter has parts of experts, or of what chooses among them.
bool has_experts(const Adapter& adapter);

/// One line for people where PEFT 0.21 with transformers 5, which keeps all experts of a layer in one parameter, would
/// refuse the adapter or scale it otherwise; "" where it reads it as it is.
std::string stacked_experts_note(const Adapter& adapter, const ModelSpec& base);

}  // namespace lora
