#include "base/outputs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/inputs.h"
#include "base/options.h"

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
  std::string name;  ///< as given
  fs::path place;    ///< with every link resolved
};
using Inputs = std::map<Identity, Input>;

// A folder stands for itself and for its files.
Inputs look_at(const std::vector<std::string>& names) {
  Inputs inputs;
  auto add = [&](const fs::path& path) {
    std::error_code error;
    if (const auto identity = identity_of(path)) inputs.try_emplace(*identity, path, fs::canonical(path, error));
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

void check_outputs(const OptionSet& options, const std::string& config) {
  std::vector<std::string> outputs, inputs;
  for (const Option& option : options.options()) {
    if (option.path_kind == PathKind::kText) continue;
    for (const std::string& path : option.get()) {
      if (option.path_kind == PathKind::kOutput) {
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
