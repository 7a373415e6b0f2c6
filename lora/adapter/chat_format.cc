// Keeps chat template and end token together with what was trained with them. Tested by
// tests/lora/adapter/chat_format_test.cc.
#include "lora/adapter/chat_format.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fault.h"
#include "lora/adapter/companions.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/read/gguf_names.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using tokenizer::Tokenizer;

void set_template(Tokenizer& tokenizer, const tokenizer::TemplateSource& source) {
  tokenizer.chat_template = source.jinja;
  tokenizer.chat_template_name = source.name;
  tokenizer.tool_template = source.for_tools;
}

// That an adapter was trained with.
tokenizer::TemplateSource template_beside(const fs::path& adapter) {
  const fs::path own = adapter / tokenizer::kChatTemplateFile, tools = adapter / tokenizer::kToolTemplateFile;
  return {own.string(), base::read_file(own), fs::exists(tools) ? base::read_file(tools) : ""};
}

// A template of other models ends turns with a token that the base does not name as an end.
void take_template(Tokenizer& tokenizer, const tokenizer::TemplateSource& source) {
  const tokenizer::ChatTemplate chat(tokenizer, source);
  set_template(tokenizer, source);
  const auto stops = chat.stop_ids();  // the tokenizer's, and the template's where they are others
  tokenizer.other_ends.insert(tokenizer.other_ends.end(), stops.begin() + tokenizer.end_ids().size(), stops.end());
}

// Returns whether it is another template than the base's.
bool choose_template(Tokenizer& tokenizer, const fs::path& adapter, const std::string& choice) {
  if (choice.empty() && (adapter.empty() || !fs::exists(adapter / tokenizer::kChatTemplateFile))) return false;
  const tokenizer::TemplateSource source =
      choice.empty() ? template_beside(adapter) : tokenizer::template_source(tokenizer, choice);
  if (source.jinja == tokenizer.chat_template) return false;
  try {
    take_template(tokenizer, source);
  } catch (const base::Error&) {
    if (!choice.empty()) throw;
    set_template(tokenizer, source);  // the adapter's own: carried; who renders it is told what is wrong
  }
  return true;
}

void change_json(const fs::path& file, const std::function<void(ordered_json&)>& change) {
  const std::string text = fs::exists(file) ? base::read_file(file) : "{}";
  ordered_json value = ordered_json::parse(text, nullptr, false);
  if (!value.is_object()) throw base::no_json_object(text, file.string(), "get the file again");
  change(value);
  base::write_file(file, value.dump(2) + "\n");
}

GgufMetadata::value_type* find(GgufMetadata& metadata, std::string_view key) {
  const auto found = std::ranges::find(metadata, key, &GgufMetadata::value_type::first);
  return found == metadata.end() ? nullptr : &*found;
}

void set(GgufMetadata& metadata, const std::string& key, base::GgufValue value) {
  if (auto* pair = find(metadata, key))
    pair->second = std::move(value);
  else
    metadata.emplace_back(key, std::move(value));
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const ModelFiles& base, const fs::path& adapter, const std::string& choice) {
  auto tokenizer = tokenizer::load(base.path(), base.new_tokens());
  choose_template(*tokenizer, adapter, choice);
  return tokenizer;
}

std::unique_ptr<Tokenizer> changed_tokenizer_of(const ModelFiles& base, const fs::path& adapter,
                                                const std::string& choice) {
  if (choice.empty() && !fs::exists(adapter / tokenizer::kChatTemplateFile)) return nullptr;
  auto tokenizer = tokenizer::load(base.path(), base.new_tokens());
  return choose_template(*tokenizer, adapter, choice) ? std::move(tokenizer) : nullptr;
}

const std::vector<std::string>& tokenizer_files() {
  static const std::vector<std::string> kFiles = {
      "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
      "vocab.json",     "merges.txt"};
  return kFiles;
}

std::vector<std::string> chat_files(const fs::path& folder) {
  std::vector<std::string> files = tokenizer_files();
  files.insert(files.end(), {tokenizer::kChatTemplateFile, tokenizer::kToolTemplateFile, "generation_config.json"});
  std::erase_if(files, [&](const std::string& name) { return !fs::exists(folder / name); });
  return files;
}

void write_tokenizer_files(const ModelFiles& base, const Tokenizer& tokenizer, const fs::path& folder) {
  fs::create_directories(folder);
  write_tokenizer(base, folder, tokenizer_files());
  use_chat_format(tokenizer, folder);
}

void use_chat_format(const Tokenizer& tokenizer, const fs::path& folder) {
  if (tokenizer.chat_template.empty()) return;
  base::write_file(folder / tokenizer::kChatTemplateFile, tokenizer.chat_template);
  const fs::path tools = folder / tokenizer::kToolTemplateFile;
  if (tokenizer.tool_template.empty())
    fs::remove(tools);  // a copy of the base's, which the answers were not trained with
  else
    base::write_file(tools, tokenizer.tool_template);
  // transformers before 4.43 reads the template there only.
  change_json(folder / "tokenizer_config.json",
              [&](ordered_json& config) { config["chat_template"] = tokenizer.chat_template; });
  const auto ends = tokenizer.end_ids();
  change_json(folder / "generation_config.json", [&](ordered_json& config) {
    if (ends.size() > 1)
      config["eos_token_id"] = ends;
    else if (ends.size() == 1)
      config["eos_token_id"] = ends[0];
  });
}

void use_chat_format(const Tokenizer& tokenizer, GgufMetadata& metadata) {
  if (tokenizer.chat_template.empty()) return;
  set(metadata, "tokenizer.chat_template", base::GgufValue::text(tokenizer.chat_template));
  if (!tokenizer.tool_template.empty())
    set(metadata, tokenizer::kToolTemplateKey, base::GgufValue::text(tokenizer.tool_template));
  else  // and the list that names it
    std::erase_if(metadata, [](const auto& pair) {
      return pair.first == tokenizer::kToolTemplateKey ||
             (pair.first == tokenizer::kTemplatesKey &&
              pair.second.value == base::GgufValue::texts({"tool_use"}).value);
    });
  // EOS stays; other end tokens go to the places that a GGUF has for them, as far as these are free.
  const auto named = [&](const char* key) -> std::optional<std::int32_t> {
    const auto* pair = find(metadata, key);
    if (pair == nullptr) return std::nullopt;
    return static_cast<std::int32_t>(std::get<std::int64_t>(pair->second.value));
  };
  tokenizer::GgufEnds ends{named(tokenizer::kTurnEndKey), named(tokenizer::kMessageEndKey)};
  for (const std::int32_t id : tokenizer.other_ends) ends.add(id, tokenizer.token(id));
  const auto write = [&](const char* key, const std::optional<std::int32_t>& id) {
    if (id) set(metadata, key, base::GgufValue::u32(static_cast<std::uint32_t>(*id)));
  };
  write(tokenizer::kTurnEndKey, ends.turn);
  write(tokenizer::kMessageEndKey, ends.message);
}

}  // namespace lora
