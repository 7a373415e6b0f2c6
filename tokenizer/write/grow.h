// A vocabulary with more tokens than its files have: their numbers, and the files with them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/gguf.h"
#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {

/// Texts that become tokens, found as they stand. `special`: as AddedToken.
struct NewToken {
  std::string text;
  bool special = false;
};

/// With the numbers behind the last of `tokenizer`, in this order. Throws UsageError for a text that is empty, no valid
/// UTF-8, a token already or there twice; `option(token)` names where it was said.
std::vector<AddedToken> numbered(const Tokenizer& tokenizer, std::span<const NewToken> tokens,
                                 const std::string& option);

/// Throws UsageError unless the vocabulary of `path`, a folder or a GGUF, has a place for new tokens: tokenizer.json,
/// SentencePiece's tokenizer.model or a GGUF.
void check_can_grow(const std::filesystem::path& path);

/// Adds them to the files of a Hugging Face tokenizer in `folder`: tokenizer.json, whose other bytes stay as they are,
/// and tokenizer_config.json and added_tokens.json where these list such tokens, or where nothing else does.
void write_new_tokens(const std::filesystem::path& folder, std::span<const AddedToken> tokens);

/// Adds them to the tokenizer of a GGUF, which has a token for each of the `rows` of the embedding.
void add_new_tokens(std::vector<std::pair<std::string, base::GgufValue>>& metadata, std::span<const AddedToken> tokens,
                    std::int64_t rows);

}  // namespace tokenizer
