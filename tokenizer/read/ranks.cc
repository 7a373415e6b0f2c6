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
  const std::vector<bool> only_added = spec.only_added();
  std::vector<std::string> texts(spec.tokens.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (only_added[i]) continue;
    if (spec.in_bytes)
      texts[i] = spec.tokens[i];
    else
      bytes_of_token(spec.tokens[i], texts[i]);
  }
  std::vector<std::int32_t> ranks(texts.size());
  std::iota(ranks.begin(), ranks.end(), 0);
  return merges_of_cuts({texts.begin(), texts.end()}, ranks);
}

BpeSpec spec_of_ranks(base::Texts tokens) {
  std::bitset<256> bytes;
  for (const std::string_view token : tokens)
    if (token.size() == 1) bytes.set(static_cast<unsigned char>(token[0]));
  BpeSpec spec;
  spec.ignore_merges = true;
  spec.in_bytes = true;
  spec.tokens = std::move(tokens);
  spec.by_text = std::make_shared<const TokenTable>(spec.tokens.all());
  spec.merges_by_id = true;
  if (bytes.all()) return spec;
  spec.merges = merges_of(spec);
  spec.merges_by_id = false;
  return spec;
}

void write_in_alphabet(BpeSpec& spec) {
  if (!spec.in_bytes) return;
  const std::vector<bool> only_added = spec.only_added();
  base::Texts written;
  for (std::size_t i = 0; i < spec.tokens.size(); ++i)
    written.push_back(only_added[i] ? std::string(spec.tokens[i]) : token_of_bytes(spec.tokens[i]));
  spec.tokens = std::move(written);
  spec.by_text.reset();
  spec.in_bytes = false;
}

void add_special(BpeSpec& spec, std::int32_t id, const std::string& content) {
  spec.tokens.set(id, content);
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

std::uint64_t fingerprint_of_ranks(const base::Texts& tokens) {
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    hash = XXH3_64bits_withSeed(tokens[i].data(), tokens[i].size(), hash + i);
  return hash;
}

}  // namespace tokenizer
