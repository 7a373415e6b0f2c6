#include "lora/locate.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/file.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

// `model:` of a run.yaml, "" when the file or the line is not there.
std::string model_in(const fs::path& run_yaml) {
  if (!fs::exists(run_yaml)) return "";
  try {
    YAML::Node model = YAML::Load(base::read_file(run_yaml))["model"];
    return model.IsDefined() && model.IsScalar() ? model.as<std::string>() : "";
  } catch (const YAML::Exception& error) {
    throw base::Error({"the run file cannot be read", fmt::format("{}:{}", run_yaml.string(), error.mark.line + 1),
                       error.msg, "", "name the base model: --base MODEL"});
  }
}

// Without a separator at the end, so that parent_path is the folder above.
fs::path plain(const fs::path& path) {
  fs::path full = fs::absolute(path).lexically_normal();
  return full.has_filename() ? full : full.parent_path();
}

}  // namespace

fs::path adapter_folder(const std::string& path) {
  for (const fs::path& folder : {fs::path(path), fs::path(path) / "adapter"})
    if (fs::exists(folder / "adapter_config.json")) return plain(folder);
  throw base::UsageError({"no adapter there", path, "", "adapter_config.json in the folder or in its adapter/",
                          fs::exists(fs::path(path) / "run.yaml") ? "has the training finished?" : ""});
}

std::string base_model_of(const fs::path& folder, const std::string& given, const std::string& base_model) {
  if (!given.empty()) return given;
  fs::path place = folder;
  for (int up = 0; up <= 2; ++up, place = place.parent_path()) {
    std::string model = model_in(place / "run.yaml");
    if (!model.empty()) return model;
  }
  if (!base_model.empty()) return base_model;
  throw base::UsageError({"the base model is not known", folder.string(), "",
                          "model: in run.yaml, or "
                          "base_model_name_or_path in adapter_config.json",
                          "name it: --base MODEL"});
}

const std::string& only_input(const std::vector<std::string>& inputs, const std::string& what) {
  if (inputs.size() == 1) return inputs[0];
  throw base::UsageError(
      {inputs.empty() ? "missing input" : "too many inputs", "", inputs.empty() ? "" : inputs[1], what, ""});
}

void prepare_folder(const fs::path& folder, bool overwrite, const std::string& run_yaml) {
  if (!overwrite && fs::is_directory(folder) && !fs::is_empty(folder))
    throw base::UsageError({"the output folder is not empty", folder.string(), "", "an empty or a new folder",
                            "--overwrite empties it first; --output chooses another"});
  base::prepare_output_folder(folder, false, overwrite);
  base::write_file(folder / "run.yaml", run_yaml);
}

void prepare_file(const fs::path& file, bool overwrite) {
  if (fs::is_directory(file)) throw base::UsageError({"the output file is a folder", file.string(), "", "", ""});
  if (fs::exists(file) && !overwrite)
    throw base::UsageError(
        {"the output file exists", file.string(), "", "", "--overwrite replaces it; --output chooses another"});
  if (file.has_parent_path()) fs::create_directories(file.parent_path());
}

}  // namespace lora
