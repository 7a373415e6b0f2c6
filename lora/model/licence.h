// The licence that a model's files name.
#pragma once

#include <string>

#include "lora/model/model_files.h"

namespace lora {

/// general.license of a GGUF, "license:" at the head of a folder's README.md; "" where neither is there.
std::string licence_of(const ModelFiles& base);

}  // namespace lora
