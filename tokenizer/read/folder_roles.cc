// What stands beside a vocabulary in a Hugging Face folder: added tokens, the roles of special ones, the chat template.
// Tested by tests/tokenizer/folder_test.cc.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fault.h"
#include "base/text.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {
namespace {

using nlohmann::json;

json read_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return json::object();
  const std::string text = base::read_file(path);
  json value = json::parse(text, nullptr, false);
  if (!value.is_object()) throw base::no_json_object(text, path.string(), "get the file again");
  return value;
}

// A token is written as its text or as an object with "content"; "" for null.
std::string token_text(const json& value, const std::filesystem::path& file, const std::string& key) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  throw base::Error({"not a token", file.string() + ": " + key, base::shortened(value.dump()),
                     R"(a text or {"content": "..."})", "get the file again from its source"});
}

// The two files that name special tokens; the first that has a key counts.
struct SpecialFiles {
  explicit SpecialFiles(const std::filesystem::path& folder)
      : config_file(folder / "tokenizer_config.json"),
        map_file(folder / "special_tokens_map.json"),
        config(read_object(config_file)),
        map(read_object(map_file)) {}
  // The value of `key` and its file, null where neither has it.
  std::pair<const json*, const std::filesystem::path*> find(const std::string& key) const {
    if (config.contains(key)) return {&config[key], &config_file};
    if (map.contains(key)) return {&map[key], &map_file};
    return {nullptr, nullptr};
  }
  std::string token(const std::string& key) const {
    const auto [value, file] = find(key);
    return value ? token_text(*value, *file, key) : "";
  }
  std::filesystem::path config_file, map_file;
  json config, map;
};

// In the order in which transformers gives numbers to those that have none. The model cannot do without the first two.
constexpr std::array kRoles = {"bos_token", "eos_token", "unk_token", "sep_token",
                               "pad_token", "cls_token", "mask_token"};

// All special tokens by name, and whether the model cannot do without.
std::vector<std::pair<std::string, bool>> named_specials(const SpecialFiles& files) {
  std::vector<std::pair<std::string, bool>> names;
  const auto add = [&](const std::string& name, bool needed) {
    if (!name.empty()) names.emplace_back(name, needed);
  };
  for (const std::string key : kRoles) add(files.token(key), key == "bos_token" || key == "eos_token");
  for (const std::string key : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto [list, file] = files.find(key);
    if (!list || list->is_null()) continue;
    if (!list->is_array() && !list->is_object())
      throw base::Error({"not a list of tokens", file->string() + ": " + key, base::shortened(list->dump()), "", ""});
    for (const json& token : *list) add(token_text(token, *file, key), true);
  }
  return names;
}

// Files without flags: a token of this form is one that must not come out of a text, as llama.cpp has it.
bool looks_special(std::string_view token) {
  constexpr std::string_view kOpen = "<\uFF5C", kClose = "\uFF5C>";
  return (token.starts_with("<|") && token.ends_with("|>")) || (token.starts_with(kOpen) && token.ends_with(kClose));
}

// config.json; of a model around a text model also what it says of that one.
json read_model_config(const std::filesystem::path& folder) {
  const json whole = read_object(folder / "config.json");
  json config = whole.value("text_config", json());
  if (!config.is_object()) return whole;
  config.update(whole);
  return config;
}

std::optional<std::int64_t> rows_of_model(const std::filesystem::path& folder) {
  const json config = read_model_config(folder);
  if (!config.contains("vocab_size") || !config["vocab_size"].is_number_integer()) return std::nullopt;
  return config["vocab_size"].get<std::int64_t>();
}

std::int32_t token_id(std::int64_t id, std::string_view token, const std::filesystem::path& file) {
  constexpr std::int64_t kMost = 1 << 24;  // a far id would be memory for nothing
  if (id >= 0 && id < kMost) return static_cast<std::int32_t>(id);
  throw base::Error({"not the number of a token", file.string() + ": " + base::shortened(token, 40), std::to_string(id),
                     fmt::format("0 to {}", kMost - 1), "get the file again from its source"});
}

AddedToken token_of(const json& entry, const std::string& content) {
  const auto flag = [&](const char* key, bool fallback) {
    return entry.is_object() && entry.contains(key) && entry[key].is_boolean() ? entry[key].get<bool>() : fallback;
  };
  AddedToken token;
  token.content = content;
  token.special = flag("special", false);
  token.normalized = flag("normalized", !token.special);
  token.left_strip = flag("lstrip", false);
  token.right_strip = flag("rstrip", false);
  token.single_word = flag("single_word", false);
  return token;
}

// The tokens that have numbers, by content.
std::map<std::string, AddedToken> numbered_tokens(const std::filesystem::path& folder, const json& config) {
  std::map<std::string, AddedToken> tokens;
  const auto add = [&](AddedToken token, std::int64_t id, const std::filesystem::path& file) {
    token.id = token_id(id, token.content, file);
    if (!token.content.empty()) tokens.emplace(token.content, token);
  };
  const std::filesystem::path config_file = folder / "tokenizer_config.json";
  const json decoder = config.value("added_tokens_decoder", json::object());
  for (const auto& [number, entry] : decoder.items()) {
    std::int64_t id = -1;
    std::from_chars(number.data(), number.data() + number.size(), id);
    add(token_of(entry, token_text(entry, config_file, "added_tokens_decoder." + number)), id, config_file);
  }
  const std::filesystem::path file = folder / "added_tokens.json";
  const json listed = read_object(file);
  for (const auto& [content, number] : listed.items()) {
    AddedToken token;
    token.content = content;
    token.special = looks_special(content);
    token.normalized = !token.special;
    add(token, number.is_number_integer() ? number.get<std::int64_t>() : -1, file);
  }
  return tokens;
}

// Those of tokenizer.json.
void add_listed(const std::filesystem::path& file, std::map<std::string, AddedToken>& tokens) {
  const auto text = simdjson::padded_string::load(file.string());
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  simdjson::ondemand::array array;
  std::string_view list;
  if (text.error() || parser.iterate(text.value_unsafe()).get(document) ||
      document["added_tokens"].get_array().get(array) || simdjson::to_json_string(array).get(list))
    return;
  const json entries = json::parse(list, nullptr, false);
  for (const json& entry : entries.is_array() ? entries : json::array()) {
    if (!entry.is_object() || !entry.value("id", json()).is_number_integer()) continue;
    AddedToken token = token_of(entry, token_text(entry, file, "added_tokens"));
    token.id = token_id(entry["id"].get<std::int64_t>(), token.content, file);
    if (!token.content.empty()) tokens.emplace(token.content, token);
  }
}

// Of a list of templates in tokenizer_config.json.
std::string template_named(const json& list, std::string_view name) {
  for (const json& entry : list.is_array() ? list : json::array())
    if (entry.is_object() && entry.value("name", json()) == name && entry.value("template", json()).is_string())
      return entry["template"].get<std::string>();
  return "";
}

// transformers 5 writes files, one a template, which then count alone; before there was one text, or a list by name.
void read_templates(const json& config, const std::filesystem::path& folder, SpecialRoles& roles) {
  const std::filesystem::path own = folder / kChatTemplateFile, tools = folder / kToolTemplateFile;
  if (std::filesystem::exists(tools)) roles.tool_template = base::read_file(tools);
  if (std::filesystem::exists(own)) roles.chat_template = base::read_file(own);
  const auto found = config.find("chat_template");
  if (std::filesystem::exists(own) || found == config.end()) return;
  if (found->is_string()) roles.chat_template = found->get<std::string>();
  if (!found->is_array()) return;
  roles.chat_template = template_named(*found, "default");
  if (roles.tool_template.empty()) roles.tool_template = template_named(*found, "tool_use");
}

}  // namespace

std::vector<AddedToken> listed_tokens(const std::filesystem::path& folder) {
  std::map<std::string, AddedToken> tokens;
  if (const auto file = folder / "tokenizer.json"; std::filesystem::exists(file)) add_listed(file, tokens);
  tokens.merge(numbered_tokens(folder, read_object(folder / "tokenizer_config.json")));
  std::vector<AddedToken> by_id;
  for (const auto& [content, token] : tokens) by_id.push_back(token);
  std::ranges::sort(by_id, {}, &AddedToken::id);
  return by_id;
}

std::vector<AddedToken> read_added_tokens(const std::filesystem::path& folder, std::size_t size, const IdOf& id_of,
                                          const std::function<bool(std::int32_t)>& is_hole) {
  const SpecialFiles files(folder);
  std::map<std::string, AddedToken> tokens = numbered_tokens(folder, files.config);
  std::map<std::int32_t, std::string> contents;
  auto next = static_cast<std::int64_t>(size);
  for (auto& [content, token] : tokens) {
    const auto known = id_of(content);
    if (known && *known != token.id)
      throw base::Error({"a token with two numbers", folder.string(),
                         fmt::format("'{}' is {} and {}", base::shortened(content, 40), *known, token.id), "one number",
                         "take all tokenizer files from the same model"});
    const auto [other, fresh] = contents.emplace(token.id, content);
    if (!fresh || (!known && token.id < static_cast<std::int32_t>(size) && !is_hole(token.id)))
      throw base::Error({"a number for two tokens", folder.string(),
                         fmt::format("{}: '{}' and {}", token.id, base::shortened(content, 40),
                                     fresh ? "one of the vocabulary" : "'" + base::shortened(other->second, 40) + "'"),
                         "one token for each number", "take all tokenizer files from the same model"});
    token.in_model = known.has_value();
    next = std::max<std::int64_t>(next, token.id + 1);
  }
  const auto rows = rows_of_model(folder);
  for (const auto& [content, needed] : named_specials(files)) {
    AddedToken& token = tokens[content];
    if (token.content.empty()) {
      token.content = content;
      const auto known = id_of(content);
      token.in_model = known.has_value();
      if (!known && rows && next >= *rows) {
        if (needed)
          throw base::Error({"a special token that has no number, and the model no row for it", folder.string(),
                             base::shortened(content, 40), "a token of the vocabulary, or of added_tokens.json",
                             "take all tokenizer files from the same model"});
        tokens.erase(content);  // padding and its kin: nothing encodes to them
        continue;
      }
      token.id = known ? *known : token_id(next++, content, folder);
    }
    token.special = true;
    token.normalized = false;
  }
  std::vector<AddedToken> by_id;
  for (const auto& [content, token] : tokens) by_id.push_back(token);
  std::ranges::sort(by_id, {}, &AddedToken::id);
  return by_id;
}

namespace {

// What config.json names as BOS or EOS, where the tokenizer's own files do not: a number, or a list of which one may be
// the vocabulary's own.
void role_of_model(const json& config, const std::filesystem::path& file, const char* key, std::size_t size,
                   std::optional<std::int32_t>& id) {
  const json value = config.value(key, json());
  std::vector<std::int64_t> ids;
  for (const json& item : value.is_array() ? value : json::array({value}))
    if (item.is_number_integer()) ids.push_back(item.get<std::int64_t>());
  if (ids.empty() || (id && std::ranges::find(ids, *id) != ids.end())) return;
  if (ids[0] < 0 || ids[0] >= static_cast<std::int64_t>(size))
    throw base::Error({"the model and its tokenizer do not fit", file.string(), fmt::format("{} {}", key, ids[0]),
                       fmt::format("a number below the tokenizer's {}", size),
                       "take config.json and tokenizer from the same model"});
  id = static_cast<std::int32_t>(ids[0]);
}

// A model may name several: a number or a list of them.
void read_ends(const json& config, const std::filesystem::path& file, SpecialRoles& roles) {
  const json value = config.value("eos_token_id", json());
  for (const json& item : value.is_array() ? value : json::array({value})) {
    if (item.is_null()) continue;
    if (!item.is_number_integer())
      throw base::Error({"bad \"eos_token_id\"", file.string(), base::shortened(value.dump()),
                         "a token's number, or a list of them", ""});
    const auto id = item.get<std::int64_t>();
    if (id >= 0 && id <= std::numeric_limits<std::int32_t>::max()) roles.add_end(static_cast<std::int32_t>(id));
  }
}

}  // namespace

void read_folder_roles(const std::filesystem::path& folder, std::size_t size, const IdOf& id_of, SpecialRoles& roles) {
  const SpecialFiles files(folder);
  const auto role = [&](const char* key, std::optional<std::int32_t>& id) {
    const std::string text = files.token(key);
    if (!text.empty()) id = id_of(text);
    return !text.empty();
  };
  const std::filesystem::path model_file = folder / "config.json";
  const json model = read_model_config(folder);
  if (!role("bos_token", roles.bos) && !files.find("bos_token").first)
    role_of_model(model, model_file, "bos_token_id", size, roles.bos);
  if (!role("eos_token", roles.eos)) role_of_model(model, model_file, "eos_token_id", size, roles.eos);
  const std::filesystem::path generation_file = folder / "generation_config.json";
  read_ends(read_object(generation_file), generation_file, roles);
  read_ends(model, model_file, roles);
  role("pad_token", roles.pad);
  role("unk_token", roles.unknown);
  const auto flag = [&](const char* key, bool& value) {
    if (files.config.contains(key) && files.config[key].is_boolean()) value = files.config[key].get<bool>();
  };
  flag("add_bos_token", roles.add_bos);
  flag("add_eos_token", roles.add_eos);
  flag("legacy", roles.prefix_after_special);
  roles.add_bos = roles.add_bos && roles.bos;
  roles.add_eos = roles.add_eos && roles.eos;
  read_templates(files.config, folder, roles);
}

}  // namespace tokenizer
