// What stands beside a vocabulary in a Hugging Face folder: the roles of special tokens and the chat template.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/bpe_spec.h"

namespace tokenizer {
namespace {

using nlohmann::json;

json read_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return json::object();
  json value = json::parse(base::read_file(path), nullptr, false);
  if (!value.is_object()) throw base::Error({"not a JSON object", path.string(), "", "", "get the file again"});
  return value;
}

// A token is written as its text or as an object with "content".
std::string token_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  return "";
}

std::string chat_template(const json& config, const std::filesystem::path& folder) {
  const std::filesystem::path own_file = folder / "chat_template.jinja";  // transformers 5 writes it there
  if (std::filesystem::exists(own_file)) return base::read_file(own_file);
  const auto found = config.find("chat_template");
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {  // several by name
    for (const json& entry : *found)
      if (entry.is_object() && entry.value("name", json()) == "default" && entry.value("template", json()).is_string())
        return entry["template"].get<std::string>();
  }
  return "";
}

}  // namespace

void read_folder_roles(const std::filesystem::path& folder,
                       const std::function<std::optional<std::int32_t>(std::string_view)>& id_of, SpecialRoles& roles) {
  const json config = read_object(folder / "tokenizer_config.json");
  const json map = read_object(folder / "special_tokens_map.json");
  const auto role = [&](const char* key, std::optional<std::int32_t>& id) {
    const json& source = config.contains(key) ? config : map;
    if (!source.contains(key)) return;
    const std::string text = token_text(source[key]);
    if (!text.empty()) id = id_of(text);
  };
  role("bos_token", roles.bos);
  role("eos_token", roles.eos);
  role("pad_token", roles.pad);
  role("unk_token", roles.unknown);
  const auto flag = [&](const char* key) { return config.contains(key) && config[key].is_boolean(); };
  if (flag("add_bos_token") || flag("add_eos_token")) {
    roles.add_bos = flag("add_bos_token") && config["add_bos_token"].get<bool>();
    roles.add_eos = flag("add_eos_token") && config["add_eos_token"].get<bool>();
  }
  roles.add_bos = roles.add_bos && roles.bos;
  roles.add_eos = roles.add_eos && roles.eos;
  roles.chat_template = chat_template(config, folder);
}

}  // namespace tokenizer
