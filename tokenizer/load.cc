#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/bpe_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"

namespace tokenizer {
namespace fs = std::filesystem;

BpeSpec spec_from_folder(const fs::path& folder) {
  const fs::path file = folder / "tokenizer.json";
  BpeSpec spec = spec_from_tokenizer_json(base::read_file(file), file.string());
  std::unordered_map<std::string, std::int32_t> ids;
  ids.reserve(spec.tokens.size());
  for (std::size_t i = 0; i < spec.tokens.size(); ++i)
    if (!spec.tokens[i].empty()) ids.emplace(spec.tokens[i], static_cast<std::int32_t>(i));
  const auto id_of = [&](std::string_view token) {
    const auto found = ids.find(std::string(token));
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  };
  const auto is_hole = [&](std::int32_t id) { return spec.tokens[id].empty(); };
  // transformers makes the tokens with a role special, whether tokenizer.json lists them as added or not.
  for (const AddedToken& token : read_added_tokens(folder, spec.tokens.size(), id_of, is_hole)) {
    const auto known = std::ranges::find(spec.added, token.id, &AddedToken::id);
    if (known != spec.added.end()) {
      known->special |= token.special;
      continue;
    }
    if (static_cast<std::size_t>(token.id) >= spec.tokens.size()) spec.tokens.resize(token.id + 1);
    spec.tokens[token.id] = token.content;
    ids.emplace(token.content, token.id);
    spec.added.push_back(token);
  }
  read_folder_roles(folder, spec.tokens.size(), id_of, spec.roles);
  for (const auto& role : {spec.roles.bos, spec.roles.eos}) {  // named by config.json only
    if (!role || std::ranges::find(spec.added, *role, &AddedToken::id) != spec.added.end()) continue;
    AddedToken token;
    token.id = *role;
    token.content = spec.tokens[*role];
    token.special = token.in_model = true;
    if (!token.content.empty()) spec.added.push_back(token);
  }
  return spec;
}

void SpecialRoles::add_end(std::int32_t id) {
  if (id != eos && std::ranges::find(other_ends, id) == other_ends.end()) other_ends.push_back(id);
}

void Tokenizer::take(const SpecialRoles& roles) {
  bos = roles.bos;
  eos = roles.eos;
  pad = roles.pad;
  unknown = roles.unknown;
  add_bos = roles.add_bos;
  add_eos = roles.add_eos;
  chat_template = roles.chat_template;
  other_ends = roles.other_ends;
}

std::vector<std::int32_t> Tokenizer::end_ids() const {
  std::vector<std::int32_t> ids = other_ends;
  if (eos) ids.insert(ids.begin(), *eos);
  return ids;
}

std::vector<std::int32_t> encode_from_start(const Tokenizer& tokenizer, std::string_view text, bool allow_special) {
  std::vector<std::int32_t> ids = tokenizer.encode(text, allow_special);
  if (tokenizer.add_bos && tokenizer.bos && (ids.empty() || ids.front() != *tokenizer.bos))
    ids.insert(ids.begin(), *tokenizer.bos);
  return ids;
}

std::size_t count_specials(const Tokenizer& tokenizer, std::string_view text) {
  const ByteRange all{0, text.size()};
  return text.empty() ? 0 : tokenizer.encode_with_offsets(text, {&all, 1}).specials_as_text;
}

std::unique_ptr<Tokenizer> load(const fs::path& path) {
  if (fs::is_directory(path)) {
    if (fs::exists(path / "tokenizer.json")) return std::make_unique<BpeTokenizer>(spec_from_folder(path));
    if (fs::exists(path / "tokenizer.model"))
      return std::make_unique<SentencePieceTokenizer>(path / "tokenizer.model", true);
    throw base::Error({"no tokenizer in the folder", path.string(), "", "tokenizer.json or tokenizer.model",
                       "download the tokenizer's files into it as well"});
  }
  if (!fs::exists(path))
    throw base::Error({"no tokenizer there", path.string(), "",
                       "a Hugging Face folder, a tokenizer.json, a .model or a .gguf file", "check the path"});
  const std::string suffix = path.extension().string();
  if (suffix == ".gguf") return std::make_unique<BpeTokenizer>(spec_from_gguf(base::GgufReader(path)));
  if (suffix == ".model") return std::make_unique<SentencePieceTokenizer>(path, false);
  if (suffix == ".json")
    return std::make_unique<BpeTokenizer>(spec_from_tokenizer_json(base::read_file(path), path.string()));
  throw base::Error({"cannot tell what kind of tokenizer this is", path.string(), suffix,
                     "a Hugging Face folder, a tokenizer.json, a .model or a .gguf file", ""});
}

}  // namespace tokenizer
