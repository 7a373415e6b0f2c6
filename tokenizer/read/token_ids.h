// The ids of a spec's tokens by what the vocabulary writes for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/token_table.h"

namespace tokenizer {

/// Also finds added tokens that come later. The spec must outlive it.
class TokenIds {
 public:
  explicit TokenIds(const BpeSpec& spec);
  /// Of a text that stands there twice the lower id.
  std::optional<std::int32_t> find(std::string_view token) const;

 private:
  const BpeSpec& spec_;
  TokenTable written_;  // unless the tokens are in bytes
};

/// What a vocabulary writes for the token of `id`.
std::string written_token(const BpeSpec& spec, std::int32_t id);

}  // namespace tokenizer
