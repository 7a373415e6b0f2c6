// Which file of a folder holds the vocabulary, of which kind a file is, and what stands beside it. Tested by
// tests/tokenizer/hostile_test.cc and vocabularies_test.cc.
#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fault.h"
#include "base/text.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/read/token_ids.h"

namespace tokenizer {

namespace fs = std::filesystem;
namespace {

constexpr const char* kKinds =
    "a Hugging Face folder, a tokenizer.json, a tekken.json, a .model, a .tiktoken or a .gguf";

// Parsed where it lies, when there is room behind it for what the parser reads ahead.
BpeSpec spec_from_json(const fs::path& file) {
  const base::MappedFile mapped(file);
  const std::size_t size = mapped.bytes().size();
  // Of an empty file nothing is mapped, and the parser copies from where it is told to.
  const std::string_view json(size == 0 ? "" : reinterpret_cast<const char*>(mapped.bytes().data()), size);
  if (auto spec = spec_from_usual_tekken(json, file.string())) return std::move(*spec);
  const std::size_t in_last_page = size % static_cast<std::size_t>(::getpagesize());
  const bool has_room =
      in_last_page > 0 && in_last_page + simdjson::SIMDJSON_PADDING <= static_cast<std::size_t>(::getpagesize());
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (const auto error = parser.parse(json.data(), size, !has_room).get(root))
    throw base::Error({"the tokenizer file is not valid JSON", file.string(), base::json_fault(json.substr(0, size)),
                       "", "the file is damaged or cut off: fetch it again"});
  return is_tekken(root) ? spec_from_tekken(root, file.string()) : spec_from_tokenizer_json(root, json, file.string());
}

}  // namespace

VocabularyKind kind_of_vocabulary(const fs::path& file) {
  if (!fs::exists(file)) throw base::Error({"no tokenizer there", file.string(), "", kKinds, "check the path"});
  std::string beginning(4096, '\0');
  std::ifstream stream(file, std::ios::binary);
  stream.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  beginning.resize(static_cast<std::size_t>(stream.gcount()));
  const std::string suffix = file.extension().string();
  if (beginning.starts_with("GGUF") || suffix == ".gguf") return VocabularyKind::kGguf;
  if (looks_like_ranks(beginning) || suffix == ".tiktoken") return VocabularyKind::kRanks;
  if (suffix == ".json" || base::trim(beginning).starts_with('{')) return VocabularyKind::kJson;
  // A message that begins with its first piece.
  if (suffix == ".model" || beginning.starts_with('\n')) return VocabularyKind::kSentencePiece;
  throw base::Error({"cannot tell what kind of tokenizer this is", file.string(), suffix, kKinds, ""});
}

fs::path vocabulary_file(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tekken.json"})
    if (fs::exists(folder / name)) return folder / name;
  std::vector<fs::path> ranks;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".tiktoken") ranks.push_back(entry.path());
  if (ranks.size() == 1) return ranks[0];
  throw base::Error({"no tokenizer in the folder", folder.string(),
                     ranks.empty() ? "" : fmt::format("{} .tiktoken files", ranks.size()),
                     "tokenizer.json, tokenizer.model, tekken.json or one .tiktoken file",
                     "download the tokenizer's files into it as well"});
}

BpeSpec spec_from_file(const fs::path& file) {
  switch (kind_of_vocabulary(file)) {
    case VocabularyKind::kGguf:
      return spec_from_gguf(base::GgufReader(file));
    case VocabularyKind::kRanks:
      return spec_from_ranks(file);
    case VocabularyKind::kJson:
      return spec_from_json(file);
    case VocabularyKind::kSentencePiece:
      break;
  }
  throw base::Error({"a SentencePiece model where merges were expected", file.string(), "", "", ""});
}

namespace {

// The special tokens that we know a file of ranks to have give way to those that its folder lists.
void give_way(const fs::path& folder, BpeSpec& spec) {
  const fs::path file = folder / "tokenizer_config.json";
  if (!fs::exists(file)) return;
  const auto config = nlohmann::json::parse(base::read_file(file), nullptr, false);
  if (!config.is_object() || !config.contains("added_tokens_decoder") || config["added_tokens_decoder"].empty()) return;
  for (const AddedToken& token : spec.added) spec.tokens.set(token.id, "");
  std::size_t size = spec.tokens.size();
  while (size > 0 && spec.tokens[size - 1].empty()) --size;
  spec.tokens.resize(size);
  spec.added.clear();
  spec.roles = {};
}

}  // namespace

BpeSpec spec_from_folder(const fs::path& folder) {
  const fs::path file = vocabulary_file(folder);
  BpeSpec spec = spec_from_file(file);
  if (kind_of_vocabulary(file) == VocabularyKind::kRanks) give_way(folder, spec);
  const TokenIds ids(spec);
  const auto id_of = [&](std::string_view token) { return ids.find(token); };
  const auto is_hole = [&](std::int32_t id) { return spec.tokens[id].empty(); };
  // transformers makes the tokens with a role special, whether tokenizer.json lists them as added or not.
  for (const AddedToken& token : read_added_tokens(folder, spec.tokens.size(), id_of, is_hole)) {
    const auto known = std::ranges::find(spec.added, token.id, &AddedToken::id);
    if (known != spec.added.end()) {
      known->special |= token.special;
      continue;
    }
    if (!token.in_model) spec.tokens.set(token.id, token.content);
    spec.added.push_back(token);
  }
  read_folder_roles(folder, spec.tokens.size(), id_of, spec.roles);
  for (const auto& role : {spec.roles.bos, spec.roles.eos}) {  // named by config.json only
    if (!role || std::ranges::find(spec.added, *role, &AddedToken::id) != spec.added.end()) continue;
    AddedToken token;
    token.id = *role;
    token.content = written_token(spec, *role);
    token.special = token.in_model = true;
    if (!token.content.empty()) spec.added.push_back(token);
  }
  return spec;
}

}  // namespace tokenizer
