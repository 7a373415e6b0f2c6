// The list of tokens in a tekken.json, read without a tree of the JSON: with it, most of the time of loading would go
// into memory for texts and marks that nobody looks at.
#pragma once

#include <optional>
#include <string_view>

#include "base/texts.h"

namespace tokenizer {

/// Where `"vocab": [` of a JSON text ends; nothing when there is none.
std::optional<std::size_t> vocab_begin(std::string_view json);

struct TekkenVocab {
  base::Texts tokens;      ///< by id
  std::size_t listed = 0;  ///< so many in the list
  std::size_t end = 0;     ///< where its "]" stands in the text
};
/// The list that begins at `begin`: its first `size` - `first` tokens have the ids from `first` on. Nothing for what is
/// not as mistral-common writes it, right or wrong: rank, token_bytes and token_str, in this order.
std::optional<TekkenVocab> scan_tekken_vocab(std::string_view json, std::size_t begin, std::size_t first,
                                             std::size_t size);

}  // namespace tokenizer
