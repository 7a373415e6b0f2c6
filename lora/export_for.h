// `lora export --for RUNTIME`: the command that makes what a runtime serves, run and verified.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lora/commands.h"
#include "lora/model/model_files.h"

namespace lora {

/// Prints the equivalent command, runs it, reads the result back and compares it, and prints the line to type in that
/// runtime. Gives 1 when the result is farther from base and adapter than its types explain.
int run_export_for(ExportOptions& options, base::Context& context);

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
