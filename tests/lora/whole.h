// A tensor of a model as numbers.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lora/model/model_files.h"

namespace lora_tests {

inline std::vector<float> whole(const lora::ModelFiles& model, const std::string& name) {
  std::vector<float> values(static_cast<std::size_t>(model.view(name).elements()));
  model.read(name, values);
  return values;
}

}  // namespace lora_tests
