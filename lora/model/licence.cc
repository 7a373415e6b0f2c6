// The licence that a model's files name. Tested by tests/lora/adapter/merged_card_test.cc.
#include "lora/model/licence.h"

#include <yaml-cpp/yaml.h>

#include <filesystem>

#include "base/file.h"

namespace lora {

namespace fs = std::filesystem;

std::string licence_of(const ModelFiles& base) {
  if (base.is_gguf()) {
    const base::GgufValue* value = base.gguf()->find("general.license");
    return value && value->type == base::GgufValue::kString ? base.gguf()->text("general.license") : "";
  }
  const fs::path card = base.path() / "README.md";
  if (!fs::exists(card)) return "";
  const std::string text = base::read_file(card);
  if (!text.starts_with("---\n")) return "";
  const std::size_t end{text.find("\n---", 3)};
  if (end == std::string::npos) return "";
  try {
    const YAML::Node head = YAML::Load(text.substr(4, end - 4));
    return head.IsMap() && head["license"] && head["license"].IsScalar() ? head["license"].as<std::string>() : "";
  } catch (const YAML::Exception&) {
    return "";
  }
}

}  // namespace lora
