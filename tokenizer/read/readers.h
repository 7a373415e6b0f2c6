// The readers of vocabularies, one file a format: what each makes is a BpeSpec.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/gguf.h"
#include "tokenizer/spec/bpe_spec.h"

namespace simdjson::dom {
class element;
}

namespace tokenizer {

/// From the text of a tokenizer.json; `where` names it in errors. Throws Error for what is broken, and for a feature
/// that this project does not have, by its name.
BpeSpec spec_from_tokenizer_json(std::string_view json, const std::string& where);
/// `root` is what `json` was parsed to.
BpeSpec spec_from_tokenizer_json(const simdjson::dom::element& root, std::string_view json, const std::string& where);
using IdOf = std::function<std::optional<std::int32_t>(std::string_view)>;
/// The tokens that `folder` names beside its vocabulary of `size` ids, in which `id_of` looks and `is_hole` finds ids
/// that no token has: added_tokens_decoder of
/// tokenizer_config.json, added_tokens.json, and the special tokens that these and special_tokens_map.json name,
/// whether they have a number or not (then the next free ones, in transformers' order). By id; tokens that are also in
/// the vocabulary have `in_model`. Throws Error for a number that another token has.
std::vector<AddedToken> read_added_tokens(const std::filesystem::path& folder, std::size_t size, const IdOf& id_of,
                                          const std::function<bool(std::int32_t)>& is_hole);
/// The added tokens that the files of `folder` list, with their numbers, by these: those of tokenizer.json, of
/// added_tokens_decoder of tokenizer_config.json and of added_tokens.json. None where there are no such files.
std::vector<AddedToken> listed_tokens(const std::filesystem::path& folder);
/// Reads the roles and the chat template beside tokenizer.json or tokenizer.model in `folder` (tokenizer_config.json,
/// special_tokens_map.json, chat_template.jinja; BOS and EOS that these do not name: config.json; more end tokens:
/// generation_config.json, config.json) into `roles`; `id_of` looks a token up, of `size`. Each of add_bos and add_eos
/// is changed only where the files say so.
void read_folder_roles(const std::filesystem::path& folder, std::size_t size, const IdOf& id_of, SpecialRoles& roles);
/// Whether a file of token ranks (tiktoken) begins so.
bool looks_like_ranks(std::string_view beginning);
/// From a file of token ranks. Its pattern and special tokens are those of the model that it is known to belong to, or
/// stand beside it (pat_str in tokenizer_config.json). Throws Error where neither holds, and for what is broken.
BpeSpec spec_from_ranks(const std::filesystem::path& file);
/// Whether a JSON file is a tekken.json; if not it is a tokenizer.json.
bool is_tekken(const simdjson::dom::element& root);
BpeSpec spec_from_tekken(const simdjson::dom::element& root, const std::string& where);
/// The same from the text; nothing where it is not as such files are usually written, right or wrong.
std::optional<BpeSpec> spec_from_usual_tekken(std::string_view json, const std::string& where);

enum class VocabularyKind { kJson, kRanks, kSentencePiece, kGguf };
/// What `file` is, by its content, and where that tells nothing by its name. Throws Error for a file that is neither.
VocabularyKind kind_of_vocabulary(const std::filesystem::path& file);
/// The file in `folder` that holds the vocabulary. Throws Error when there is none.
std::filesystem::path vocabulary_file(const std::filesystem::path& folder);
/// From a file of any kind but SentencePiece's.
BpeSpec spec_from_file(const std::filesystem::path& file);
/// The same from a folder's vocabulary_file, with what stands beside it.
BpeSpec spec_from_folder(const std::filesystem::path& folder);
/// From the metadata of a GGUF: tokenizer.ggml.model gpt2 (pre: smollm, gpt-2, llama-bpe, qwen2) or llama
/// (SentencePiece BPE). Throws Error naming another kind.
BpeSpec spec_from_gguf(const base::GgufReader& gguf);

}  // namespace tokenizer
