// What serves a model or an adapter in another runtime: the line to type, and what that runtime would not serve.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// What of an adapter vLLM, and mlx-lm, which `reads_dora`, would not serve, in words: they read LoRA on linear layers
/// of blocks. "": nothing.
std::string beyond_runtime(const Adapter& adapter, bool reads_dora);

/// The line that serves an adapter of `rank` in `output` on `base` with vLLM, which takes chat template and end tokens
/// of the base unless it is told: the template that `adapter` has, a folder with the same files, and with `settings`
/// its generation_config.json. Throws base::Error for a rank that it does not serve.
std::string vllm_line(const std::string& base, std::int64_t rank, const std::filesystem::path& output,
                      const std::filesystem::path& adapter, bool settings);

/// The line that answers with the model in `folder` by transformers.
std::string transformers_line(const std::string& folder);

/// Why mlx-lm would not serve the adapter in `folder` as it is on `base`, for people; "": it does.
std::string not_served_by_mlx(const ModelFiles& base, const std::filesystem::path& folder);

}  // namespace lora
