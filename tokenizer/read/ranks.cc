// Vocabularies that are lists of byte strings, each with its rank (tiktoken, tekken): merging makes whatever neighbours
// form a token, lowest rank first. Tested by tests/tokenizer/vocabularies_test.cc.
#include "tokenizer/read/ranks.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <numeric>

#include "tokenizer/spec/token_table.h"
#include "tokenizer/split/characters.h"

namespace tokenizer {

bool append_base64(std::string_view text, std::string& bytes) {
  static constexpr auto kValues = [] {
    std::array<std::int8_t, 256> values{};
    values.fill(-1);
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::size_t i = 0; i < kDigits.size(); ++i)
      values[static_cast<unsigned char>(kDigits[i])] = static_cast<std::int8_t>(i);
    return values;
  }();
  if (text.size() % 4 != 0) return false;
  const std::size_t before = bytes.size();
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  bytes.resize(before + text.size() / 4 * 3);
  char* to = bytes.data() + before;
  bool good = true;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::int32_t bits = 0;
    for (std::size_t k = i; k < i + 4; ++k) {
      const std::int32_t value = k < text.size() - padding ? kValues[static_cast<unsigned char>(text[k])] : 0;
      good &= value >= 0;
      bits = bits * 64 + value;
    }
    for (const int shift : {16, 8, 0}) *to++ = static_cast<char>(bits >> shift);
  }
  bytes.resize(good ? bytes.size() - padding : before);
  return good;
}

std::vector<Merge> merges_of_cuts(const std::vector<std::string_view>& texts, const std::vector<std::int32_t>& ranks) {
  TokenTable ids(texts.size());
  std::size_t longest = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!texts[i].empty()) ids.insert(texts[i], static_cast<std::int32_t>(i));
    longest = std::max(longest, texts[i].size());
  }
  std::vector<Merge> merges;
  merges.reserve(texts.size() * 3);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (std::size_t cut = 1; cut < texts[i].size(); ++cut) {
      const std::int32_t left = ids.find(texts[i].substr(0, cut));
      if (left == TokenTable::kNone) continue;
      const std::int32_t right = ids.find(texts[i].substr(cut));
      if (right != TokenTable::kNone) merges.push_back({left, right, static_cast<std::int32_t>(i), ranks[i]});
    }
  }
  return merges;
}

std::vector<Merge> merges_of(const BpeSpec& spec) {
  if (!spec.merges_by_id) return spec.merges;
  std::vector<bool> only_added(spec.tokens.size());
  for (const AddedToken& token : spec.added) only_added[token.id] = !token.in_model;
  std::vector<std::string> texts(spec.tokens.size());
  for (std::size_t i = 0; i < texts.size(); ++i)
    if (!only_added[i]) bytes_of_token(spec.tokens[i], texts[i]);
  std::vector<std::int32_t> ranks(texts.size());
  std::iota(ranks.begin(), ranks.end(), 0);
  return merges_of_cuts({texts.begin(), texts.end()}, ranks);
}

BpeSpec spec_of_ranks(std::vector<std::string> tokens, std::int32_t first_id) {
  std::bitset<256> bytes;
  for (std::string& token : tokens) {
    if (token.size() == 1) bytes.set(static_cast<unsigned char>(token[0]));
    token = token_of_bytes(token);
  }
  tokens.insert(tokens.begin(), static_cast<std::size_t>(first_id), "");
  BpeSpec spec;
  spec.ignore_merges = true;
  spec.tokens = std::move(tokens);
  spec.merges_by_id = true;
  if (bytes.all()) return spec;
  spec.merges = merges_of(spec);
  spec.merges_by_id = false;
  return spec;
}

void add_special(BpeSpec& spec, std::int32_t id, const std::string& content) {
  if (static_cast<std::size_t>(id) >= spec.tokens.size()) spec.tokens.resize(id + 1);
  spec.tokens[id] = content;
  AddedToken token;
  token.id = id;
  token.content = content;
  token.special = true;
  spec.added.push_back(token);
}

std::optional<std::int32_t> special_id(const BpeSpec& spec, std::string_view content) {
  const auto found = std::ranges::find(spec.added, content, &AddedToken::content);
  return found == spec.added.end() || content.empty() ? std::nullopt : std::optional(found->id);
}

std::uint64_t fingerprint_of_ranks(const std::vector<std::string>& tokens) {
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    hash = XXH3_64bits_withSeed(tokens[i].data(), tokens[i].size(), hash + i);
  return hash;
}

}  // namespace tokenizer
