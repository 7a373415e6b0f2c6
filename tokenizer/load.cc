#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/bpe_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"

namespace tokenizer {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> load_sentencepiece(const fs::path& file, bool in_folder) {
  auto made = std::make_unique<SentencePieceTokenizer>(file);
  if (!in_folder) return made;
  SpecialRoles roles{made->bos, made->eos, made->pad, made->unknown, made->add_bos, made->add_eos, ""};
  read_folder_roles(
      file.parent_path(), [&](std::string_view token) { return made->id_of(token); }, roles);
  made->bos = roles.bos;
  made->eos = roles.eos;
  made->pad = roles.pad;
  made->unknown = roles.unknown;
  made->add_bos = roles.add_bos;
  made->add_eos = roles.add_eos;
  made->chat_template = roles.chat_template;
  return made;
}

}  // namespace

BpeSpec spec_from_folder(const fs::path& folder) {
  const fs::path file = folder / "tokenizer.json";
  BpeSpec spec = spec_from_tokenizer_json(base::read_file(file), file.string());
  const auto id_of = [&](std::string_view token) -> std::optional<std::int32_t> {
    const auto found = std::ranges::find(spec.tokens, token);
    if (token.empty() || found == spec.tokens.end()) return std::nullopt;
    return static_cast<std::int32_t>(found - spec.tokens.begin());
  };
  read_folder_roles(folder, id_of, spec.roles);
  // transformers makes the tokens with a role special, whether tokenizer.json lists them as added or not.
  for (const auto& role : {spec.roles.bos, spec.roles.eos, spec.roles.pad, spec.roles.unknown}) {
    if (!role || std::ranges::find(spec.added, *role, &AddedToken::id) != spec.added.end()) continue;
    AddedToken token;
    token.id = *role;
    token.content = spec.tokens[*role];
    token.special = token.in_model = true;
    spec.added.push_back(token);
  }
  return spec;
}

std::unique_ptr<Tokenizer> load(const fs::path& path) {
  if (fs::is_directory(path)) {
    if (fs::exists(path / "tokenizer.json")) return std::make_unique<BpeTokenizer>(spec_from_folder(path));
    if (fs::exists(path / "tokenizer.model")) return load_sentencepiece(path / "tokenizer.model", true);
    throw base::Error({"no tokenizer in the folder", path.string(), "", "tokenizer.json or tokenizer.model",
                       "download the tokenizer's files into it as well"});
  }
  if (!fs::exists(path))
    throw base::Error({"no tokenizer there", path.string(), "",
                       "a Hugging Face folder, a tokenizer.json, a .model or a .gguf file", "check the path"});
  const std::string suffix = path.extension().string();
  if (suffix == ".gguf") return std::make_unique<BpeTokenizer>(spec_from_gguf(base::GgufReader(path)));
  if (suffix == ".model") return load_sentencepiece(path, false);
  if (suffix == ".json")
    return std::make_unique<BpeTokenizer>(spec_from_tokenizer_json(base::read_file(path), path.string()));
  throw base::Error({"cannot tell what kind of tokenizer this is", path.string(), suffix,
                     "a Hugging Face folder, a tokenizer.json, a .model or a .gguf file", ""});
}

}  // namespace tokenizer
