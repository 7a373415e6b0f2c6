// The chat format that an adapter was trained with: its template and end token, kept beside it and written into models.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lora/model/gguf_metadata.h"
#include "lora/model/model_files.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {

/// The tokenizer of `base`, new tokens too, with the chat template that is in force: `choice` (--chat-template) when
/// not empty, else chat_template.jinja in `adapter` (may be empty), else the base's own. A template that is not the
/// base's brings the end token of its turns into end_ids(). Throws base::Error for a choice that does not fit.
std::unique_ptr<tokenizer::Tokenizer> tokenizer_of(const ModelFiles& base, const std::filesystem::path& adapter,
                                                   const std::string& choice);

/// The same, or nothing where that is the base's own: then a written model needs no change.
std::unique_ptr<tokenizer::Tokenizer> changed_tokenizer_of(const ModelFiles& base, const std::filesystem::path& adapter,
                                                           const std::string& choice);

/// The names of the files of a Hugging Face tokenizer.
const std::vector<std::string>& tokenizer_files();

/// Those of `folder`, with its chat template and generation settings: what an adapter made out of the one there takes
/// along.
std::vector<std::string> chat_files(const std::filesystem::path& folder);

/// The files of a Hugging Face tokenizer, with the chat template of `tokenizer`, into the folder of an adapter.
void write_tokenizer_files(const ModelFiles& base, const tokenizer::Tokenizer& tokenizer,
                           const std::filesystem::path& folder);

/// Puts the chat template and the end tokens of `tokenizer` where a written model has them: chat_template.jinja,
/// tokenizer_config.json and generation_config.json of a folder that has its tokenizer's files already ...
void use_chat_format(const tokenizer::Tokenizer& tokenizer, const std::filesystem::path& folder);
/// ... or the metadata of a GGUF.
void use_chat_format(const tokenizer::Tokenizer& tokenizer, GgufMetadata& metadata);

}  // namespace lora
