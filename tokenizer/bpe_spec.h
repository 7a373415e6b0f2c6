// A BPE tokenizer as data, whatever file it came from: what the readers make, the encoder runs and the writers write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/gguf.h"
#include "tokenizer/pre_tokenizer.h"

namespace tokenizer {

/// A token found in the text before any splitting (added_tokens of tokenizer.json; control and user-defined tokens of
/// GGUF). The flags mean what they mean in the tokenizers package.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;      ///< found only with parse_special; dropped by decode with skip_special
  bool normalized = false;   ///< looked for in the normalised text
  bool left_strip = false;   ///< takes the white space before it
  bool right_strip = false;  ///< takes the white space after it
  bool single_word = false;  ///< not inside a word
  bool in_model = false;     ///< also a token of the model itself, so that merging may give it
};

struct NormalizerStep {
  enum Kind { kNfc, kPrepend, kReplace } kind = kNfc;
  std::string from;  ///< kReplace: what is replaced
  std::string text;  ///< kPrepend: what is put before a non-empty text; kReplace: what comes instead
};

/// `left` and `right`, neighbours, become `result`; lower ranks first, then from left to right.
struct Merge {
  std::int32_t left, right, result;
  std::int32_t rank;
};

/// The special tokens by role, and what the peer adds with add_special_tokens=True.
struct SpecialRoles {
  std::optional<std::int32_t> bos, eos, pad, unknown;
  bool add_bos = false, add_eos = false;
  std::string chat_template;
  /// The end tokens that are not EOS: eot and eom of a GGUF, the lists of generation_config.json and config.json.
  std::vector<std::int32_t> other_ends;
  void add_end(std::int32_t id);  ///< unless it is one already
  /// SentencePiece: a text after a special token gets a dummy prefix too (`legacy` of tokenizer_config.json).
  bool prefix_after_special = false;
};

struct BpeSpec {
  bool byte_level = true;  ///< tokens are written in GPT-2's byte alphabet; else in plain characters with "▁"
  std::vector<std::string> tokens;  ///< by id, added ones included; "" for an id that has no token
  std::vector<Merge> merges;
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;
  std::vector<SplitStep> splits;
  std::optional<std::int32_t> unknown;  ///< the model's unk_token: what an unknown character becomes; else nothing
  bool fuse_unknown = false;            ///< a run of unknown characters is one token
  bool byte_fallback = false;           ///< an unknown character becomes its "<0x..>" tokens
  bool ignore_merges = false;           ///< a piece that is a token is that token
  bool strip_leading_space = false;     ///< decode drops the blank that encode put in front
  std::vector<float> scores;            ///< of SentencePiece, by id; may be empty
  SpecialRoles roles;
};

/// From the text of a tokenizer.json; `where` names it in errors. Throws Error for what is broken, and for a feature
/// that this project does not have, by its name.
BpeSpec spec_from_tokenizer_json(std::string_view json, const std::string& where);
using IdOf = std::function<std::optional<std::int32_t>(std::string_view)>;
/// The tokens that `folder` names beside its vocabulary of `size` ids, in which `id_of` looks and `is_hole` finds ids
/// that no token has: added_tokens_decoder of
/// tokenizer_config.json, added_tokens.json, and the special tokens that these and special_tokens_map.json name,
/// whether they have a number or not (then the next free ones, in transformers' order). By id; tokens that are also in
/// the vocabulary have `in_model`. Throws Error for a number that another token has.
std::vector<AddedToken> read_added_tokens(const std::filesystem::path& folder, std::size_t size, const IdOf& id_of,
                                          const std::function<bool(std::int32_t)>& is_hole);
/// Reads the roles and the chat template beside tokenizer.json or tokenizer.model in `folder` (tokenizer_config.json,
/// special_tokens_map.json, chat_template.jinja; BOS and EOS that these do not name: config.json; more end tokens:
/// generation_config.json, config.json) into `roles`; `id_of` looks a token up, of `size`. Each of add_bos and add_eos
/// is changed only where the files say so.
void read_folder_roles(const std::filesystem::path& folder, std::size_t size, const IdOf& id_of, SpecialRoles& roles);
/// A folder's tokenizer.json and what stands beside it.
BpeSpec spec_from_folder(const std::filesystem::path& folder);
/// From the metadata of a GGUF: tokenizer.ggml.model gpt2 (pre: smollm, gpt-2, llama-bpe, qwen2) or llama
/// (SentencePiece BPE). Throws Error naming another kind.
BpeSpec spec_from_gguf(const base::GgufReader& gguf);

}  // namespace tokenizer
