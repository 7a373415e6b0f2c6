// The folder that a command fills, and the run.yaml in it that says which command that was. Tested by
// tests/base/output_folder_test.cc.
#include "base/output_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace base {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHead = "# written by ";

// "curate run" of a head; "" of none.
std::string command_of(std::string_view head) {
  return head.empty() ? "" : std::string(trim(head.substr(kHead.size())));
}

// The options at the outer level.
std::set<std::string> keys_of(std::string_view yaml) {
  std::set<std::string> keys;
  for (const std::string& line : split(std::string(yaml), '\n')) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && line.find_first_of(" #-\"'") != 0) keys.insert(line.substr(0, colon));
  }
  return keys;
}

// Options come and go between versions, so that all need not be the same.
bool has_most_options(std::string_view run_yaml, std::string_view own) {
  const std::set<std::string> left = keys_of(run_yaml), right = keys_of(own);
  const auto shared = static_cast<std::size_t>(
      std::ranges::count_if(left, [&](const std::string& key) { return right.contains(key); }));
  return 2 * shared >= left.size() + right.size() - shared;
}

// Of the whole run.yaml, or of the half that a kill left. "": there is neither.
fs::path run_file_of(const fs::path& folder) {
  for (const char* name : {"run.yaml", "run.yaml.part"})
    if (fs::is_regular_file(folder / name)) return folder / name;
  return "";
}

void check_is_own(const fs::path& folder, bool overwrite, std::string_view run_yaml) {
  const fs::path file = run_file_of(folder);
  const std::string own = command_of(run_head_of(run_yaml));
  const std::string by = own.empty() ? "this command" : "'" + own + "'";
  ErrorFacts facts{"", folder.string(), "", "a folder that " + by + " wrote, as the head of its run.yaml says",
                   overwrite ? "choose another folder, or empty it yourself" : "choose another folder"};
  if (file.empty()) {
    facts.what = "the folder does not look like an earlier run's output, so it is not emptied";
    if (overwrite) throw UsageError(facts);
    return;
  }
  const std::string text = read_file(file);
  const std::string_view head = run_head_of(text);
  const bool is_cut = file.extension() == ".part" && run_yaml.starts_with(text.substr(0, run_head_of(run_yaml).size()));
  if (is_cut || (!head.empty() && head == run_head_of(run_yaml))) return;
  if (!head.empty()) {
    facts.what = fmt::format("the folder is the output of '{}', so {}", command_of(head),
                             overwrite ? "it is not emptied" : "there is nothing to resume");
    throw UsageError(facts);
  }
  if (!overwrite || has_most_options(text, run_yaml)) return;
  facts.what = fmt::format("the folder's run.yaml is not one of {}, so it is not emptied", by);
  throw UsageError(facts);
}

}  // namespace

std::string run_head(const std::string& program, const std::string& command) {
  return fmt::format("{}{} {}\n", kHead, program, command);
}

std::string_view run_head_of(std::string_view run_yaml) {
  return run_yaml.starts_with(kHead) ? run_yaml.substr(0, std::min(run_yaml.find('\n'), run_yaml.size() - 1) + 1) : "";
}

void check_output_folder(const fs::path& folder, bool resume, bool overwrite, std::string_view run_yaml) {
  if (resume && overwrite) throw UsageError("--resume and --overwrite exclude each other", folder.string());
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder))
    throw UsageError({"the output folder is a file", folder.string(), "", "a folder", ""});
  check_place(folder);
  if (!fs::exists(folder)) return;
  fs::directory_iterator entries(folder, error);
  if (error) throw Error({"cannot read the output folder: " + error.message(), folder.string(), "", "", ""});
  if (entries == fs::directory_iterator()) return;
  if (!overwrite && !resume) {
    const bool can_resume{run_yaml.find("\nresume: ") != run_yaml.npos};
    throw UsageError({"the output folder is not empty", folder.string(), "", "an empty or a new folder",
                      (can_resume ? "--resume goes on with an earlier run, " : "") +
                          std::string("--overwrite empties the folder of an earlier run first")});
  }
  check_is_own(folder, overwrite, run_yaml);
}

void prepare_output_folder(const fs::path& folder, bool resume, bool overwrite, std::string_view run_yaml,
                           RunLock& lock) {
  lock.take(folder);
  check_output_folder(folder, resume, overwrite, run_yaml);
  std::error_code error;
  if (!fs::create_directories(folder, error) && error)
    throw Error(
        {"cannot create the output folder: " + error.message(), folder.string(), "", "", advice_for(error.value())});
  if (!lock.is_taken()) {
    lock.take(folder);
    check_output_folder(folder, resume, overwrite, run_yaml);  // who was faster may be done already
  }
  if (!overwrite) return;
  std::vector<fs::path> doomed;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) doomed.push_back(entry.path());
  // run.yaml goes last: if this is interrupted, the folder still looks like ours.
  std::stable_partition(doomed.begin(), doomed.end(), [](const fs::path& p) {
    return p.filename() != "run.yaml" && p.filename() != "run.yaml.part";
  });
  for (const fs::path& path : doomed) {
    fs::remove_all(path, error);
    if (error) throw Error({"cannot remove: " + error.message(), path.string(), "", "", ""});
  }
}

}  // namespace base
