// A base made to fit an adapter that was trained with new tokens.
#pragma once

#include <filesystem>
#include <string>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// Gives `base` the new tokens that the tokenizer's files in `folder`, the adapter's, list, and where the adapter has
/// rows of tokens or whole matrices beyond the vocabulary, that many rows. Tokens for which there is no row are left
/// out. Throws base::Error where rows are beyond the vocabulary and the adapter has not all of them, in the embedding
/// and in a head of its own. `adapter` has the base's names (with_names_of).
void grow_for(ModelFiles& base, const Adapter& adapter, const std::filesystem::path& folder);

/// "2 new tokens: <|a|>, <|b|>", "" for none.
std::string new_tokens_text(const ModelFiles& base);

}  // namespace lora
