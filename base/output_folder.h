// The folder that a command fills, and the run.yaml in it that says which command that was.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/run_lock.h"

namespace base {

/// The line at the head of every run.yaml, of which YAML reads nothing: "# written by curate run\n".
std::string run_head(const std::string& program, const std::string& command);
/// That line of `run_yaml`; "" where it has none, as those of Hornbook before there was one.
std::string_view run_head_of(std::string_view run_yaml);

/// Throws, and touches nothing, when prepare_output_folder would: a non-empty folder is refused unless `resume` (kept)
/// or `overwrite` (emptied), and so is a place where nothing can be written. Only what the same command wrote is
/// emptied: `run_yaml` is what it will save, and the folder's run.yaml has the same head, or none and most of the
/// options. --resume is named where `run_yaml` has that option. A kill may have left no more than the beginning of it.
/// A command calls this first, then checks all else that can fail, then prepares: a failed start leaves no trace.
void check_output_folder(const std::filesystem::path& folder, bool resume, bool overwrite, std::string_view run_yaml);
/// The check again; then makes or empties `folder` for a command's output, which holds it by `lock` until it ends: two
/// commands in one folder would each take away what the other writes. Who reads the folder before takes `lock` itself.
void prepare_output_folder(const std::filesystem::path& folder, bool resume, bool overwrite, std::string_view run_yaml,
                           RunLock& lock);

}  // namespace base
