// Finds the adapter and the base model that a path on the command line means.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lora {

/// The adapter's folder: `path` itself, or `path`/adapter of a training run. Throws UsageError saying what was looked
/// for.
std::filesystem::path adapter_folder(const std::string& path);

/// The base model of the adapter in `folder`: `given` when not empty, else `model:` of the run.yaml in the folder or up
/// to two above it (a run's adapter/ and checkpoints/step-N), else `base_model` of adapter_config.json. Throws
/// UsageError when nothing says it.
std::string base_model_of(const std::filesystem::path& folder, const std::string& given, const std::string& base_model);

/// The only word without a flag. Throws UsageError, `what` naming the thing expected.
const std::string& only_input(const std::vector<std::string>& inputs, const std::string& what);

/// Readies a folder for output. A folder with anything in it is refused unless `overwrite`, and emptied then if it
/// looks like an earlier output. run.yaml = `run_yaml` is put into it first.
void prepare_folder(const std::filesystem::path& folder, bool overwrite, const std::string& run_yaml);
/// Refuses an existing file unless `overwrite`; makes its folder.
void prepare_file(const std::filesystem::path& file, bool overwrite);

}  // namespace lora
