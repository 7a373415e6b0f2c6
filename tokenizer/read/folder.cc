// A folder's tokenizer.json together with what stands beside it.
#include <algorithm>
#include <unordered_map>

#include "base/file.h"
#include "tokenizer/read/readers.h"

namespace tokenizer {

BpeSpec spec_from_folder(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "tokenizer.json";
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

}  // namespace tokenizer
