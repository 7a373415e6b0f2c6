// Vocabularies that are lists of byte strings, each with its rank (tiktoken, tekken): merging makes whatever neighbours
// form a token, lowest rank first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec/bpe_spec.h"

namespace tokenizer {

/// Appends the bytes that `text` writes in base 64. False, and `bytes` as it was, when it is none.
bool append_base64(std::string_view text, std::string& bytes);

/// Every way to cut a text of `texts` in two others, ranked by `ranks` of the whole. `texts[i]` is "" for an id that
/// takes no part.
std::vector<Merge> merges_of_cuts(const std::vector<std::string_view>& texts, const std::vector<std::int32_t>& ranks);

/// The merges of `spec`, where it has them by id written out: for whoever needs a list.
std::vector<Merge> merges_of(const BpeSpec& spec);

/// `tokens[i]`, bytes, has the id i; "" for a hole. Where a token stands there twice, spec.by_text says so.
BpeSpec spec_of_ranks(base::Texts tokens);
/// Tokens that are bytes become what a vocabulary writes for them.
void write_in_alphabet(BpeSpec& spec);
/// Adds a token that is found in the text before any splitting; special.
void add_special(BpeSpec& spec, std::int32_t id, const std::string& content);
/// The id of a special token of `spec`.
std::optional<std::int32_t> special_id(const BpeSpec& spec, std::string_view content);

/// What a file of ranks does not say itself: its pattern and its special tokens, for the files that models come with.
struct KnownRanks {
  std::string name = {};       ///< "Llama 3"
  std::string file_stem = {};  ///< of the file's usual name, "" for one that says nothing
  std::uint64_t fingerprint = 0;
  SplitStep split = SplitStep::kGpt2;
  bool nfc = false;
  std::vector<std::pair<std::int32_t, std::string>> specials = {};
  std::string bos = {}, eos = {}, pad = {};
  std::vector<std::string> other_ends = {};
};
const std::vector<KnownRanks>& known_ranks();
/// A hash of all tokens and their ranks.
std::uint64_t fingerprint_of_ranks(const base::Texts& tokens);

}  // namespace tokenizer
