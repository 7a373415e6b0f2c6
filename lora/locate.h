// Finds the adapter and the base model that a path on the command line means.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/program.h"
#include "base/run_lock.h"
#include "lora/adapter/adapter_config.h"
#include "lora/model/model_files.h"

namespace lora {

/// The adapter's folder: `path` itself, or `path`/adapter of a training run; or `path`, a GGUF adapter. Throws
/// UsageError saying what was looked for.
std::filesystem::path adapter_folder(const std::string& path);

/// The base model of the adapter in `folder`, the one rule of every command: `given` when not empty; else the base that
/// adapter_config.json names, when it is on this machine; else `model` (or `base`) of the run.yaml of the run that the
/// folder belongs to (beside it, or above RUN/adapter and RUN/checkpoints/step-N), when the adapter names no base or
/// run.yaml says that it means the same one. `option` is the command's word for `given`, for errors. Throws UsageError
/// when nothing says it, or when the adapter wants a revision that the name alone does not give.
std::string base_model_of(const std::filesystem::path& folder, const std::string& given, const std::string& option,
                          const AdapterSettings& adapter);

/// "nf4" or "int8" where the adapter in `folder` trained on its base so rounded, by its tensors' metadata
/// (rounded_base.h) or the run.yaml of its run; else "": on the base as it is, or nothing says.
std::string rounded_base_of(const std::filesystem::path& folder);

/// Says that an adapter of such a base computes something else on the base as it is.
void tell_rounded_base(const std::filesystem::path& folder, base::Context& context);

/// Prints the model's notes.
void tell_notes(const ModelFiles& model, base::Context& context);

/// The only word without a flag. Throws UsageError, `what` naming the thing expected.
const std::string& only_input(const std::vector<std::string>& inputs, const std::string& what);

/// `path` without a separator at its end.
std::filesystem::path without_separator(const std::filesystem::path& path);
/// Throws UsageError for a file's name that cannot stand in a Modelfile.
void check_has_no_break(const std::filesystem::path& path);
/// Throws UsageError unless `path` can be the name of a GGUF file.
void check_gguf_name(const std::filesystem::path& path);

/// Throws UsageError, and touches nothing, when the folder has anything in it, unless `overwrite` and the command that
/// saves `run_yaml` wrote it.
void check_folder(const std::filesystem::path& folder, bool overwrite, const std::string& run_yaml);
/// A folder that a command fills, and no other one meanwhile. Makes or empties it after the same check, and puts
/// run.yaml = `run_yaml` into it. Unless `finish` is called, all that came into it is removed again: a failed command
/// leaves no half of a model.
class OutputFolder {
 public:
  OutputFolder(const std::filesystem::path& folder, bool overwrite, const std::string& run_yaml);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  void finish() { finished_ = true; }

 private:
  std::filesystem::path folder_;
  base::RunLock lock_;      // to the end of the object
  base::NewFolders above_;  // the folder itself, and those above it, where they were missing
  bool finished_ = false;
};
/// A small file beside a large one, written first but put in place after it: where there is no room for the small one,
/// the large one is not there without it. It goes again unless `keep` is called.
class FileBeside {
 public:
  FileBeside(const std::filesystem::path& path, std::string_view text);
  void keep() { writer_.commit(); }

 private:
  base::FileWriter writer_;
};
/// Throws UsageError when there is a folder, a device or a pipe, or a file unless `overwrite`.
void check_file(const std::filesystem::path& file, bool overwrite);

}  // namespace lora
