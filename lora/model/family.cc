// The families of models we know. Tested by tests/lora/model/config_test.cc.
#include "lora/model/family.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace lora {
namespace {

std::string names(const char* Family::*field) {
  std::vector<std::string> names;
  for (const Family* family : families())
    if (std::find(names.begin(), names.end(), family->*field) == names.end()) names.emplace_back(family->*field);
  return base::join(names, ", ");
}

}  // namespace

const Family* family_of_type(std::string_view model_type) {
  for (const Family* family : families())
    if (family->model_type == model_type) return family;
  return nullptr;
}

const Family* family_of_gguf(std::string_view architecture, const base::GgufReader* file) {
  const auto has_sign = [&](const Family* family) {
    const std::string sign = std::string(architecture) + "." + (family->gguf_sign ? family->gguf_sign : "");
    return file && family->gguf_sign && file->find(sign) && file->integer(sign) != 0;
  };
  const Family *found = nullptr, *signed_one = nullptr;
  for (const Family* family : families()) {
    if (family->gguf != architecture) continue;
    if (has_sign(family)) signed_one = family;
    if (!found || family->model_type == architecture) found = family;
  }
  return signed_one ? signed_one : found;
}

const Family& family_of(const ModelConfig& config) {
  const Family* family = family_of_type(config.model_type);
  if (!family) throw base::Error({"unknown family of models", "", config.model_type, family_names(), ""});
  return *family;
}

std::string family_names() { return names(&Family::model_type); }
std::string gguf_names() { return names(&Family::gguf); }

void simplify(ModelConfig& config) {
  const auto holds = [](bool of_layer) { return of_layer; };
  // A window as long as the context cuts nothing, but its layers may have a rope of their own.
  const bool matters{config.local_rope || config.sliding_window < config.context_length};
  const bool cuts{config.sliding_window != 0 && matters &&
                  (config.sliding_layers.empty() || std::ranges::any_of(config.sliding_layers, holds))};
  if (!cuts) config.sliding_window = 0;
  if (!cuts || std::ranges::all_of(config.sliding_layers, holds)) config.sliding_layers.clear();
  if (std::ranges::all_of(config.rotated_layers, holds)) config.rotated_layers.clear();
}

}  // namespace lora
