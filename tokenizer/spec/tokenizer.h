// Text to token ids and back: SentencePiece, and byte-level BPE from tokenizer.json or GGUF metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec/encoding.h"

namespace tokenizer {

struct SpecialRoles;
struct AddedToken;

/// Holds the chat template, beside a model or an adapter.
inline constexpr const char* kChatTemplateFile = "chat_template.jinja";
inline constexpr const char* kToolTemplateFile = "additional_chat_templates/tool_use.jinja";

/// Thread-safe once made. Ids equal those of the peer (tokenizers, sentencepiece) with add_special_tokens=False.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Ids of `text`, no BOS or EOS added. With `parse_special`, special tokens written out in the text ("<|im_start|>")
  /// become their single id; without, they are ordinary characters (what user data must get).
  virtual std::vector<std::int32_t> encode(std::string_view text, bool parse_special = false) const = 0;
  /// The same ids with the bytes of `text` that each stands for. Special tokens are found outside of `data` only.
  virtual Encoding encode_with_offsets(std::string_view text, DataRanges data) const = 0;
  /// Text of `ids`. Incomplete UTF-8 is kept as bytes. With `skip_special`, special tokens give nothing.
  /// Throws Error for an id out of range.
  virtual std::string decode(const std::vector<std::int32_t>& ids, bool skip_special = false) const = 0;
  /// Whether decode of some ids is the beginning of decode of more; else a text is only known when all ids are.
  virtual bool decodes_forward() const { return true; }
  virtual std::int32_t size() const = 0;  ///< number of ids, added tokens included
  virtual std::optional<std::int32_t> id_of(std::string_view token) const = 0;
  virtual std::string token(std::int32_t id) const = 0;  ///< as written in the vocabulary
  virtual bool is_special(std::int32_t id) const = 0;

  /// Every token that ends a text or an answer, EOS first.
  std::vector<std::int32_t> end_ids() const;

  std::optional<std::int32_t> bos, eos, pad, unknown;
  std::vector<std::int32_t> other_ends;                          ///< end tokens that the model names beside EOS
  bool add_bos = false, add_eos = false;                         ///< what the peer does with add_special_tokens=True
  std::string chat_template;                                     ///< the Jinja text, "" when there is none
  std::string chat_template_name = "the model's chat template";  ///< for messages: a file's, where it came from one
  std::string tool_template;  ///< the model's `tool_use`: for conversations with tools; "": chat_template is for all
  std::string template_date;  ///< "2026-11-30": the day that strftime_now() of the template tells; "": now
  std::string kind;           ///< "bpe" or "sentencepiece", for `info`
  std::string origin;         ///< what kind of file it was, for `info`

 protected:
  void take(const SpecialRoles& roles);
  // Throws Error for an id out of range.
  void check_id(std::int32_t id) const;
};

/// The ids of a text that a model is to read from its beginning: BOS in front where the model wants one and the text
/// does not already begin with it. With `allow_special`, special tokens written out in the text become their ids.
std::vector<std::int32_t> encode_from_start(const Tokenizer& tokenizer, std::string_view text, bool allow_special);

/// How many special tokens `text` writes out.
std::size_t count_specials(const Tokenizer& tokenizer, std::string_view text);

/// From a Hugging Face folder, or a file: tokenizer.json, SentencePiece's .model, tiktoken's ranks (whatever the name:
/// .model, .tiktoken), tekken.json, a GGUF. Throws Error saying which files were looked for.
std::unique_ptr<Tokenizer> load(const std::filesystem::path& path);
/// The same with `more` tokens than the files have, of ids that these have not.
std::unique_ptr<Tokenizer> load(const std::filesystem::path& path, std::span<const AddedToken> more);

}  // namespace tokenizer
