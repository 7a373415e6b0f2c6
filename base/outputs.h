// An output never destroys an input: one look at both before anything is touched.
#pragma once

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

/// The same for every path among the options of a command (PathKind says what each is), `config`, its config file, and
/// standard output where that is a file. A folder's own run.yaml may be the config: it is written again.
/// run_program calls this for every command; what only a command can know (a default output, the base of an adapter) it
/// checks itself with check_outputs.
void check_outputs(const OptionSet& options, const std::string& config);

}  // namespace base
