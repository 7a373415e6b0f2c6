// An output never destroys an input: one look at both before anything is touched.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace base {

class OptionSet;

/// Throws UsageError when writing `outputs` (files or folders; they need not exist, "" and "-" are none) would destroy
/// one of `inputs` (files, folders, or names that are no files, such as those of models). Refused are
///   - an output file that is an input, or lies as a file in an input folder, under any path, symbolic or hard link;
///     PATH.part, which a file is written to first, counts as the output; a .gguf is no part of the folder it lies in
///   - an output folder that is an input, holds one, or holds a link to one: it may be emptied or written to
///   - an output that stands twice.
/// An output in an input folder that replaces none of its files is fine: RUN/merged beside RUN/adapter.
void check_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs);

/// True for a name that ends in .gguf, in any case of letters: a file, never a folder.
bool is_gguf_name(const std::filesystem::path& path);
/// Throws UsageError when `path` has the name of a file (.gguf, .jsonl.zst ...) or is one; Error when no folder can be
/// made there. `option` is the name for errors.
void check_output_is_folder(const std::string& option, const std::filesystem::path& path);
/// Throws UsageError when `path` is a folder or ends in a separator; Error when no file can be made there. Folders that
/// are missing above it are made when it is written (FileWriter).
void check_output_is_file(const std::string& option, const std::filesystem::path& path);
/// Likewise, and UsageError when the name says another format than JSON lines, or none: it ends in .jsonl or .ndjson,
/// perhaps with .zst or .gz behind it. Pipes and devices may have any name.
void check_output_is_records(const std::string& option, const std::filesystem::path& path);

/// Every output among the options of a command is what its PathKind says, and check_outputs for all paths among them,
/// `config`, its config file, and standard output where that is a file. A folder's own run.yaml may be the config: it
/// is written again. run_program calls this for every command; what only a command can know (a default output, the base
/// of an adapter) it checks itself with check_outputs.
void check_outputs(const OptionSet& options, const std::string& config);

}  // namespace base
