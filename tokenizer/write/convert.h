// Vocabularies between formats: GGUF metadata -> a Hugging Face folder's files, and back.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/gguf.h"

namespace tokenizer {

/// The tokenizer.json that gives the ids of the GGUF's vocabulary in Hugging Face tokenizers. Throws Error when the
/// vocabulary's kind (tokenizer.ggml.model, .pre) is not one we know.
nlohmann::json tokenizer_json_from_gguf(const base::GgufReader& gguf);

/// The tokenizer_config.json beside it: chat template, bos/eos/pad/unk tokens, and a class under which AutoTokenizer
/// (transformers 5.23) takes tokenizer.json as it is.
nlohmann::json tokenizer_config_json_from_gguf(const base::GgufReader& gguf);

/// The tokenizer.* keys of a GGUF made from the Hugging Face folder `path` (tokenizer.json or tokenizer.model, with
/// tokenizer_config.json). Padded with unused tokens up to `rows`, or config.json's vocab_size where none are given, as
/// llama.cpp wants one token per row of the embedding. A GGUF can name three end tokens; more are left out. Throws
/// Error when the folder's vocabulary has no equal in GGUF.
std::vector<std::pair<std::string, base::GgufValue>> gguf_metadata_from_folder(
    const std::filesystem::path& path, std::optional<std::int64_t> rows = std::nullopt);

}  // namespace tokenizer
