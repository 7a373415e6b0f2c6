// What every tokenizer does alike, and what a spec knows of itself. Tested by tests/tokenizer/folder_test.cc and
// encoding_test.cc.
#include "tokenizer/spec/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "tokenizer/spec/bpe_spec.h"

namespace tokenizer {

void SpecialRoles::add_end(std::int32_t id) {
  if (id != eos && std::ranges::find(other_ends, id) == other_ends.end()) other_ends.push_back(id);
}

std::vector<bool> BpeSpec::only_added() const {
  std::vector<bool> only(tokens.size());
  for (const AddedToken& token : added) only[token.id] = !token.in_model;
  return only;
}

void Tokenizer::take(const SpecialRoles& roles) {
  bos = roles.bos;
  eos = roles.eos;
  pad = roles.pad;
  unknown = roles.unknown;
  add_bos = roles.add_bos;
  add_eos = roles.add_eos;
  chat_template = roles.chat_template;
  tool_template = roles.tool_template;
  other_ends = roles.other_ends;
}

void Tokenizer::check_id(std::int32_t id) const {
  if (id >= 0 && id < size()) return;
  throw base::Error({"token id out of range", "", std::to_string(id), fmt::format("0 to {}", size() - 1),
                     "use the tokenizer that made these ids"});
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

}  // namespace tokenizer
