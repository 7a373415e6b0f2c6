// Models that read pictures too, around a text model of a family that we know: the text model is what is used.
// Tested by tests/lora/model/wrapper_test.cc.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lora/model/spec.h"

namespace lora {

struct Wrapper {
  const char* model_type;  ///< of config.json: "gemma3"
  const char* class_name;  ///< transformers' class: "Gemma3ForConditionalGeneration"
  const char* text;        ///< where transformers 5 has the text model: "model.language_model."
  const char* text_type;   ///< model_type of a "text_config" that does not say it
  bool tied;               ///< the head is the embedding where neither config says it
};

/// Null when there is none of this type.
const Wrapper* wrapper_of_type(std::string_view model_type);
/// For messages: "gemma3, llava, ...".
std::string wrapper_names();

/// The config.json that the text model alone would have, of that of the whole.
nlohmann::json text_config_of(const nlohmann::json& config, const Wrapper& wrapper, const std::string& file);

/// Puts the names of the text model's modules to where they are in the whole.
void wrap(ModelSpec& spec, const Wrapper& wrapper);

/// A tensor's or module's name as transformers 5 has it in the whole: "language_model.model.layers.0" of earlier ones
/// and of most files is "model.language_model.layers.0".
std::string name_of_today(std::string_view name);

/// Belongs to the text model of the whole, told by its name of today.
bool is_of_text(std::string_view name, const Wrapper& wrapper);

/// A module's name without what a wrapper puts before it, "model.layers.0.mlp.up_proj", and with it.
std::string without_wrapper(std::string_view name);
std::string wrapped(std::string name, const Wrapper& wrapper);

}  // namespace lora
