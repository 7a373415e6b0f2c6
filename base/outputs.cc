// An output never destroys an input: one look at both before anything is touched. Tested by tests/base/outputs_test.cc.
#include "base/outputs.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/inputs.h"
#include "base/options.h"
#include "base/stream.h"
#include "base/text.h"

namespace base {
namespace {

namespace fs = std::filesystem;

// Which file it is, whatever the path.
struct Identity {
  dev_t device = 0;
  ino_t number = 0;
  bool folder = false;
  auto operator<=>(const Identity&) const = default;
};

std::optional<Identity> identity_of(const struct stat& status) {
  const bool folder = S_ISDIR(status.st_mode);
  if (!folder && !S_ISREG(status.st_mode)) return std::nullopt;  // devices and pipes are not overwritten
  return Identity{status.st_dev, status.st_ino, folder};
}

// Links are followed.
std::optional<Identity> identity_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return identity_of(status);
}

struct Input {
  std::string name;  // as given
  fs::path place;    // with every link resolved
};
using Inputs = std::map<Identity, Input>;

// A folder stands for itself and for its files.
Inputs look_at(const std::vector<std::string>& names) {
  Inputs inputs;
  auto add = [&](const fs::path& path) {
    std::error_code error;
    if (const auto identity = identity_of(path)) inputs.try_emplace(*identity, Input{path, fs::canonical(path, error)});
  };
  for (const std::string& name : names) {
    if (name.empty() || name == "-") continue;
    add(name);
    std::error_code error;
    for (fs::directory_iterator entry(name, error), end; !error && entry != end; entry.increment(error))
      if (!entry->is_directory(error) && entry->path().extension() != ".gguf") add(entry->path());
  }
  return inputs;
}

[[noreturn]] void refuse(const std::string& what, const std::string& output, const Input& input) {
  throw UsageError({what + " '" + input.name + "'", output, "", "", "nothing was touched; choose another output"});
}

bool lies_in(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

void check_file(const std::string& output, const fs::path& place, const Inputs& inputs) {
  for (const std::string& written : {output, output + ".part"}) {
    const std::optional<Identity> identity = identity_of(fs::path(written));
    const auto input = identity ? inputs.find(*identity) : inputs.end();
    if (input != inputs.end()) refuse("the output would overwrite the input", written, input->second);
  }
  // What is written first may have a name of its own: model.ftz.txt.part.
  for (const auto& [identity, input] : inputs)
    if (input.place.native().starts_with(place.native() + ".") && input.place.extension() == ".part")
      refuse("the output would overwrite the input", output, input);
}

void check_folder(const std::string& output, const Inputs& inputs) {
  std::error_code error;
  std::vector<fs::path> folders = {fs::canonical(output, error)};
  auto check_places = [&](const fs::path& folder) {
    for (const auto& [identity, input] : inputs)
      if (lies_in(input.place, folder))
        refuse(input.place == folder ? "the output folder is the input" : "the output folder holds the input", output,
               input);
  };
  check_places(folders[0]);
  // Links in it to an input, of both kinds; a linked folder is looked at by its place.
  const auto skip = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator entry(folders[0], skip, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::optional<Identity> identity = identity_of(entry->path());
    if (!identity) continue;
    if (identity->folder) {
      if (entry->is_symlink()) check_places(fs::canonical(entry->path(), error));
      continue;
    }
    const auto input = inputs.find(*identity);
    if (input != inputs.end()) refuse("the output folder holds a link to the input", output, input->second);
  }
}

// ".gguf" of "Model.GGUF" and of "model.gguf/".
std::string lower_extension(const fs::path& path) {
  return ascii_lower((path.has_filename() ? path : path.parent_path()).extension().string());
}

void check_kind(const Option& option, const std::string& path) {
  if (path.empty() || path == "-") return;
  std::string name = "--" + option.name;
  std::replace(name.begin(), name.end(), '_', '-');
  if (option.path_kind == PathKind::kOutputRecords) return check_output_is_records(name, path);
  const bool is_folder = option.path_kind == PathKind::kOutputFolder ||
                         (option.path_kind == PathKind::kOutputModel && !is_gguf_name(path));
  is_folder ? check_output_is_folder(name, path) : check_output_is_file(name, path);
}

// A folder stands for itself and for what a command would read of it.
std::vector<std::string> expanded(const std::string& path) {
  std::vector<std::string> paths = {path};
  try {
    for (std::string& file : expand_inputs({path})) paths.push_back(std::move(file));
  } catch (const Error&) {  // the command says what is wrong with it
  }
  return paths;
}

}  // namespace

void check_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs) {
  const Inputs seen = look_at(inputs);
  std::vector<fs::path> places;
  for (const std::string& output : outputs) {
    if (output.empty() || output == "-") continue;
    std::error_code error;
    const fs::path place = fs::weakly_canonical(output, error);
    if (std::find(places.begin(), places.end(), place) != places.end() && !fs::is_other(place, error))
      throw UsageError({"two outputs are the same file", output, "", "a file for each", "nothing was touched"});
    places.push_back(place);
    fs::is_directory(output, error) ? check_folder(output, seen) : check_file(output, place, seen);
  }
}

bool is_gguf_name(const fs::path& path) { return lower_extension(path) == ".gguf"; }

void check_output_is_folder(const std::string& option, const fs::path& path) {
  const std::string extension = lower_extension(path);
  for (const char* file :
       {".gguf", ".safetensors", ".bin", ".pt", ".pth",  ".ggml",  ".onnx",   ".ftz",  ".zip",     ".tar",
        ".tgz",  ".zst",         ".gz",  ".xz", ".bz2",  ".jsonl", ".ndjson", ".json", ".parquet", ".arrow",
        ".csv",  ".tsv",         ".txt", ".md", ".html", ".yaml",  ".yml",    ".log"})
    if (extension == file)
      throw UsageError({"an output folder cannot have the name of a file", option, path.string(),
                        fmt::format("a name that does not end in {}", file),
                        is_gguf_name(path)
                            ? "one .gguf of a trained run's folder is made by lora merge (with its base) or "
                              "lora export (the adapter alone): RUN --format gguf --output " +
                                  path.filename().string()
                            : ""});
  if (std::error_code error; fs::exists(path, error) && !fs::is_directory(path, error))
    throw UsageError({"the output folder is a file", option, path.string(), "a folder", ""});
  check_place(path / "");
}

void check_output_is_file(const std::string& option, const fs::path& path) {
  std::error_code error;
  const bool is_folder = fs::is_directory(path, error);
  if (is_folder || !path.has_filename())
    throw UsageError({is_folder ? "the output file is a folder" : "the output file has the name of a folder", option,
                      path.string(), "the name of a file", ""});
  check_place(path);
}

void check_output_is_records(const std::string& option, const fs::path& path) {
  check_output_is_file(option, path);
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) return;
  const std::string name = path.string();
  const std::string_view plain = without_compression_suffix(name);
  if (!has_suffix(plain, ".jsonl") && !has_suffix(plain, ".ndjson"))
    throw UsageError({"the output is JSON lines, and its name says something else", option, name,
                      "a name that ends in .jsonl, .jsonl.zst or .jsonl.gz", ""});
}

void check_outputs(const OptionSet& options, const std::string& config) {
  std::vector<std::string> outputs, inputs;
  for (const Option& option : options.options()) {
    if (option.path_kind == PathKind::kText || option.path_kind == PathKind::kCacheFolder) continue;
    for (const std::string& path : option.get()) {
      if (is_output(option.path_kind)) {
        check_kind(option, path);
        outputs.push_back(path);
      } else if (option.path_kind == PathKind::kModel) {
        inputs.push_back(path);
      } else {
        for (std::string& file : expanded(path)) inputs.push_back(std::move(file));
      }
    }
  }
  std::error_code error;
  const bool written_again = std::any_of(outputs.begin(), outputs.end(), [&](const std::string& output) {
    return fs::equivalent(fs::path(output) / "run.yaml", config, error);
  });
  if (!written_again) inputs.push_back(config);
  check_outputs(outputs, inputs);

  struct stat status {};
  if (::fstat(STDOUT_FILENO, &status) != 0) return;
  const std::optional<Identity> standard_output = identity_of(status);
  if (!standard_output) return;
  const Inputs seen = look_at(inputs);
  if (const auto input = seen.find(*standard_output); input != seen.end())
    throw UsageError({"standard output goes into an input", input->second.name, "", "another file after '>'",
                      "the shell empties that file before the program starts"});
}

}  // namespace base
