// Tells one base model from another by what their files hold, not by their names.
#pragma once

#include <string>

#include "lora/model/model_files.h"

namespace lora {

/// A short text that is equal for the same model wherever it lies, and differs between a base and its fine-tune: the
/// size of the weight files; a hash of the config and of every tensor's name, type and shape; a hash of 64 KiB from the
/// start, the middle and the end of every tensor.
std::string identity_of(const ModelFiles& model);

}  // namespace lora
