// The ids of a spec's tokens by what the vocabulary writes for them. Tested by tests/tokenizer/vocabularies_test.cc.
#include "tokenizer/read/token_ids.h"

#include <algorithm>

#include "tokenizer/split/characters.h"

namespace tokenizer {

TokenIds::TokenIds(const BpeSpec& spec) : spec_(spec) {
  if (!spec.in_bytes) written_ = TokenTable(spec.tokens.all());
}

std::optional<std::int32_t> TokenIds::find(std::string_view token) const {
  std::string bytes;
  std::int32_t id = TokenTable::kNone;
  if (!spec_.in_bytes) id = written_.find(token);
  if (id != TokenTable::kNone) return id;
  const auto added = std::ranges::find(spec_.added, token, &AddedToken::content);
  if (added != spec_.added.end()) return added->id;
  if (spec_.in_bytes && bytes_of_token(token, bytes)) id = spec_.by_text->find(bytes);
  return id == TokenTable::kNone ? std::nullopt : std::optional(id);
}

std::string written_token(const BpeSpec& spec, std::int32_t id) {
  const std::string_view token = spec.tokens[id];
  const auto is_only_added = [&](const AddedToken& added) { return added.id == id && !added.in_model; };
  if (!spec.in_bytes || std::ranges::any_of(spec.added, is_only_added)) return std::string(token);
  return token_of_bytes(token);
}

}  // namespace tokenizer
