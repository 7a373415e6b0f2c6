// A vocabulary with more tokens than its files have. Tested by tests/tokenizer/grow_test.cc.
#include "tokenizer/write/grow.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fault.h"
#include "base/text.h"
#include "base/unicode.h"
#include "tokenizer/read/gguf_names.h"
#include "tokenizer/read/readers.h"

namespace tokenizer {
namespace {

namespace fs = std::filesystem;
using base::GgufValue;
using nlohmann::ordered_json;

constexpr double kScore = -1000;  // as llama.cpp writes it; nothing merges to them

ordered_json entry_of(const AddedToken& token) {
  return {{"content", token.content},    {"single_word", token.single_word}, {"lstrip", token.left_strip},
          {"rstrip", token.right_strip}, {"normalized", token.normalized},   {"special", token.special}};
}

// Behind the last of the list, so that nothing else of a file of many megabytes changes.
void add_to_json(const fs::path& file, std::span<const AddedToken> tokens) {
  const std::string text = base::read_file(file);
  const simdjson::padded_string padded(text);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  simdjson::ondemand::array array;
  std::string_view list;
  if (parser.iterate(padded).get(document) || document["added_tokens"].get_array().get(array) ||
      simdjson::to_json_string(array).get(list) || !list.ends_with(']'))
    throw base::Error({"no list of added tokens", file.string(), "added_tokens", "a list", "get the file again"});
  const std::size_t end{static_cast<std::size_t>(list.data() - padded.data()) + list.size() - 1};
  const bool is_empty{base::trim(list.substr(1, list.size() - 2)).empty()};
  std::string added;
  for (const AddedToken& token : tokens) {
    ordered_json entry = {{"id", token.id}};
    entry.update(entry_of(token));
    added += (is_empty && added.empty() ? "" : ",\n    ") + entry.dump();
  }
  const std::size_t last = text.find_last_not_of(" \t\r\n", end - 1) + 1;  // behind the last entry
  base::write_file(file, text.substr(0, last) + added + text.substr(last));
}

ordered_json object_in(const fs::path& file) {
  if (!fs::exists(file)) return ordered_json::object();
  const std::string text = base::read_file(file);
  ordered_json value = ordered_json::parse(text, nullptr, false);
  if (!value.is_object()) throw base::no_json_object(text, file.string(), "get the file again");
  return value;
}

GgufValue* find(std::vector<std::pair<std::string, GgufValue>>& metadata, const std::string& key) {
  for (auto& [name, value] : metadata)
    if (name == key) return &value;
  return nullptr;
}

}  // namespace

std::vector<AddedToken> numbered(const Tokenizer& tokenizer, std::span<const NewToken> tokens,
                                 const std::string& option) {
  std::vector<AddedToken> added;
  std::set<std::string> seen;
  for (const auto& [text, special] : tokens) {
    const auto refuse = [&, &written = text](const char* what, const std::string& expected, const std::string& advice) {
      throw base::UsageError({what, option, base::shortened(written), expected, advice});
    };
    if (text.empty()) refuse("a new token without text", "a text such as <|tool|>", "");
    if (base::find_invalid_utf8(text) != std::string::npos) refuse("a new token that is not UTF-8", "UTF-8", "");
    if (!seen.insert(text).second) refuse("a new token that stands there twice", "each once", "");
    if (const auto id = tokenizer.id_of(text))
      refuse("the vocabulary has this token already", fmt::format("texts that are no tokens yet ({} is)", *id),
             "leave it out here; --lora.trainable-tokens trains its row");
    AddedToken token;
    token.id = tokenizer.size() + static_cast<std::int32_t>(added.size());
    token.content = text;
    token.special = special;
    added.push_back(token);
  }
  return added;
}

void check_can_grow(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? vocabulary_file(path) : path;
  const VocabularyKind kind = kind_of_vocabulary(file);
  const bool is_known{kind == VocabularyKind::kGguf ||
                      (kind == VocabularyKind::kJson && file.filename() == "tokenizer.json") ||
                      (kind == VocabularyKind::kSentencePiece && fs::is_directory(path))};
  if (!is_known)
    throw base::UsageError({"this kind of vocabulary has no place for new tokens", file.string(), "",
                            "tokenizer.json, SentencePiece's tokenizer.model or a GGUF",
                            "let transformers write a tokenizer.json: "
                            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"});
}

void write_new_tokens(const fs::path& folder, std::span<const AddedToken> tokens) {
  const bool has_json{fs::exists(folder / "tokenizer.json")};
  if (has_json) add_to_json(folder / "tokenizer.json", tokens);
  const fs::path config_file = folder / "tokenizer_config.json", list_file = folder / "added_tokens.json";
  ordered_json config = object_in(config_file);
  if (config.contains("added_tokens_decoder") || !has_json) {
    for (const AddedToken& token : tokens) config["added_tokens_decoder"][std::to_string(token.id)] = entry_of(token);
    base::write_file(config_file, config.dump(2) + "\n");
  }
  if (!fs::exists(list_file)) return;
  ordered_json list = object_in(list_file);
  for (const AddedToken& token : tokens) list[token.content] = token.id;
  base::write_file(list_file, list.dump(2) + "\n");
}

void add_new_tokens(std::vector<std::pair<std::string, GgufValue>>& metadata, std::span<const AddedToken> tokens,
                    std::int64_t rows) {
  GgufValue *texts = find(metadata, "tokenizer.ggml.tokens"), *types = find(metadata, "tokenizer.ggml.token_type"),
            *scores = find(metadata, "tokenizer.ggml.scores");
  if (!texts) throw base::Error({"a GGUF without a vocabulary", "", "tokenizer.ggml.tokens", "", ""});
  auto& all = std::get<base::Texts>(texts->value);
  const std::size_t before{all.size()};
  if (!types) {
    metadata.emplace_back("tokenizer.ggml.token_type",
                          GgufValue::i32s(std::vector<std::int32_t>(before, kNormalToken)));
    texts = find(metadata, "tokenizer.ggml.tokens");  // the list has moved
    scores = find(metadata, "tokenizer.ggml.scores");
    types = &metadata.back().second;
  }
  auto& texts_now = std::get<base::Texts>(texts->value);
  auto& kinds = std::get<std::vector<std::int64_t>>(types->value);
  for (std::size_t i = before; i < static_cast<std::size_t>(rows); ++i) {
    texts_now.push_back(fmt::format("[PAD{}]", i));
    kinds.push_back(kUnusedToken);
    if (scores) std::get<std::vector<double>>(scores->value).push_back(kScore);
  }
  for (const AddedToken& token : tokens) {
    const auto id = static_cast<std::size_t>(token.id);
    texts_now.set(id, token.content);
    kinds.at(id) = token.special ? kControlToken : kUserDefinedToken;
    if (scores) std::get<std::vector<double>>(scores->value).at(id) = kScore;
  }
  for (auto& [name, value] : metadata)
    if (name.ends_with(".vocab_size") && std::holds_alternative<std::int64_t>(value.value)) value.value = rows;
}

}  // namespace tokenizer
