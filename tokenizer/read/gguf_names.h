// The names and numbers under which GGUF stores a vocabulary, shared by its reader and its writer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/gguf.h"
#include "tokenizer/spec/bpe_spec.h"

namespace tokenizer {

/// tokenizer.ggml.token_type (llama.cpp's LLAMA_TOKEN_TYPE_*).
enum TokenType : std::int32_t {
  kNormalToken = 1,
  kUnknownToken = 2,
  kControlToken = 3,
  kUserDefinedToken = 4,
  kUnusedToken = 5,
  kByteToken = 6
};

/// A value of tokenizer.ggml.pre and what it means.
struct PreTokenizerName {
  std::string name;
  std::vector<SplitStep> splits;
  bool ignore_merges = false;
  bool add_bos = false;  ///< where the file does not say
  bool nfc = false;      ///< the Hugging Face tokenizer normalises to NFC
};
extern const std::vector<PreTokenizerName> kPreTokenizers;
const PreTokenizerName* find_pre_tokenizer(std::string_view name);

/// Where a GGUF names end tokens beside EOS: that of a turn, and that of a message that calls a tool.
inline constexpr const char* kTurnEndKey = "tokenizer.ggml.eot_token_id";
inline constexpr const char* kMessageEndKey = "tokenizer.ggml.eom_token_id";
/// The template of conversations with tools, beside tokenizer.chat_template.
inline constexpr const char* kToolTemplateKey = "tokenizer.chat_template.tool_use";
inline constexpr const char* kTemplatesKey = "tokenizer.chat_templates";  ///< names of such
struct GgufEnds {
  std::optional<std::int32_t> turn, message;
  /// Puts it where it belongs, or where there is room.
  void add(std::int32_t id, std::string_view token);
};

/// One type for each token; all normal when the key is missing.
std::vector<std::int64_t> token_types(const base::GgufReader& gguf);

/// The merges that give SentencePiece's BPE: every way to cut a normal token into two normal tokens, ranked by the
/// token's score, equal scores by an equal rank.
std::vector<Merge> merges_of_scores(const base::Texts& tokens, const std::vector<std::int64_t>& types,
                                    const std::vector<float>& scores);

}  // namespace tokenizer
