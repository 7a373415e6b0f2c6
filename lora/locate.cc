// Finds the adapter and the base model that a path on the command line means. Tested by tests/lora/locate_test.cc.
#include "lora/locate.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/output_folder.h"
#include "base/outputs.h"
#include "base/safetensors.h"
#include "base/unicode.h"
#include "base/yaml_text.h"
#include "lora/adapter/read_gguf_adapter.h"
#include "lora/adapter/rounded_base.h"
#include "lora/model/hub.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

// What a run.yaml says of the base model; "" where it says nothing.
struct RunBase {
  std::string model, base_name, quantization;
};

// Of finetune train (model) or of lora export (base).
RunBase base_in(const fs::path& run_yaml) {
  if (!fs::exists(run_yaml)) return {};
  try {
    const YAML::Node run = YAML::Load(base::read_file(run_yaml));
    auto text = [&](const char* key) {
      if (!run.IsMap()) return std::string();
      const YAML::Node value = run[key];
      return value.IsDefined() && value.IsScalar() ? base::yaml_text(value) : std::string();
    };
    return {text("model").empty() ? text("base") : text("model"), text("base_name"), text("quantization")};
  } catch (const YAML::Exception& error) {
    throw base::Error({"the run file is not valid YAML: " + error.msg,
                       fmt::format("{}:{}", run_yaml.string(), error.mark.line + 1), "", "", "name the base model"});
  }
}

// The run.yaml of the run that made the adapter in `folder`, which is RUN/adapter, RUN/checkpoints/step-N, or a folder
// with a run.yaml of its own.
fs::path run_yaml_of(const fs::path& folder) {
  const fs::path above = folder.parent_path();
  if (fs::exists(folder / "run.yaml")) return folder / "run.yaml";
  if (folder.filename() == "adapter") return above / "run.yaml";
  if (above.filename() == "checkpoints") return above.parent_path() / "run.yaml";
  return "";
}

}  // namespace

fs::path adapter_folder(const std::string& path) {
  if (is_gguf_adapter(path)) return fs::absolute(path).lexically_normal();
  for (const fs::path& folder : {fs::path(path), fs::path(path) / "adapter"})
    if (fs::exists(folder / "adapter_config.json")) return without_separator(fs::absolute(folder).lexically_normal());
  if (fs::exists(fs::path(path) / "model" / "config.json"))
    throw base::UsageError({"a run that trained every weight: there is a model instead of an adapter", path, "",
                            "a run or folder with an adapter",
                            "give the model itself: " + (fs::path(path) / "model").string()});
  throw base::UsageError({"no adapter there", path, "", "adapter_config.json in the folder or in its adapter/",
                          fs::exists(fs::path(path) / "run.yaml") ? "has the training finished?" : ""});
}

std::string base_model_of(const fs::path& folder, const std::string& given, const std::string& option,
                          const AdapterSettings& adapter) {
  if (!given.empty()) return given;
  const std::string& named = adapter.base_model;
  const std::string advice = fmt::format("give the base model that the adapter was trained on: {} MODEL", option);
  if (!named.empty() && !find_model(named).empty()) {
    if (adapter.revision.empty() || fs::exists(named)) return named;
    throw base::UsageError(
        {"the adapter was trained on one revision of its base model, and the name does not tell "
         "whether that is the one on this machine",
         folder.string(), fmt::format("{} at {}", named, adapter.revision), "",
         fmt::format("download it and give its folder: hf download {} --revision {} --local-dir "
                     "FOLDER; {} FOLDER",
                     named, adapter.revision, option)});
  }
  const fs::path run_yaml = run_yaml_of(folder);
  const RunBase run = run_yaml.empty() ? RunBase() : base_in(run_yaml);
  if (!run.model.empty() && (named.empty() || named == run.base_name || named == base::valid_utf8(run.model))) {
    if (!find_model(run.model).empty() || is_hub_name(run.model)) return run.model;
    throw base::UsageError(
        {"the adapter's base model is not where its run found it", folder.string(), run.model, "", advice});
  }
  if (named.empty())
    throw base::UsageError({"the adapter does not name its base model", folder.string(), "",
                            "base_model_name_or_path in adapter_config.json", advice});
  if (run.model.empty() && is_hub_name(named)) return named;  // the error of opening it says how to get it
  if (run.model.empty())
    throw base::UsageError({"the adapter's base model is not on this machine", folder.string(), named, "", advice});
  throw base::UsageError({"the adapter's base model is not on this machine, and its run's file names another",
                          folder.string(), named, run.model + ", says " + run_yaml.string(), advice});
}

void tell_notes(const ModelFiles& model, base::Context& context) {
  if (context.quiet) return;
  for (const std::string& note : model.notes()) fmt::print(context.err, "note: {}\n", note);
}

const std::string& only_input(const std::vector<std::string>& inputs, const std::string& what) {
  if (inputs.size() == 1) return inputs[0];
  throw base::UsageError(
      {inputs.empty() ? "missing input" : "too many inputs", "", inputs.empty() ? "" : inputs[1], what, ""});
}

std::string rounded_base_of(const fs::path& folder) {
  if (is_gguf_adapter(folder)) return rounded_base_in(base::GgufReader(folder));
  for (const char* name : {"adapter_model.safetensors", "adapters.safetensors"})
    if (const fs::path file = folder / name; fs::exists(file)) {
      const std::string rounded = rounded_base_in(base::SafetensorsReader(file).metadata(), file.string());
      if (!rounded.empty()) return rounded;
    }
  const fs::path run_yaml = run_yaml_of(folder);
  if (run_yaml.empty() || !fs::exists(run_yaml)) return "";
  std::string found;
  try {
    found = base_in(run_yaml).quantization;
  } catch (const base::Error&) {  // said where the base is looked for there
  }
  // What was made on 2026-11-30 has a line.
  const std::string text = base::read_file(run_yaml);
  for (const std::string rounded : {"nf4", "int8"})
    if (found == rounded || text.find("was trained on its base rounded to " + rounded + ".") != std::string::npos)
      return rounded;
  return "";
}

void tell_rounded_base(const fs::path& folder, base::Context& context) {
  const std::string rounded = rounded_base_of(folder);
  if (context.quiet || rounded.empty()) return;
  fmt::print(
      context.err,
      "note: the adapter was trained on its base rounded to {0}; on the base as it is, it computes something else "
      "(finetune eval --quantization {0} and none say how much)\n",
      rounded);
}

fs::path without_separator(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

void check_has_no_break(const fs::path& path) {
  if (path.filename().string().find_first_of("\r\n") != std::string::npos)
    throw base::UsageError({"a line break in the name of a file, of which a Modelfile has no form", "output",
                            path.string(), "a name of one line", ""});
}

void check_gguf_name(const fs::path& path) {
  if (!base::is_gguf_name(path))
    throw base::UsageError({"a GGUF file needs a name that ends in .gguf", "output", path.string(), "",
                            fmt::format("--output {}.gguf", path.string())});
  check_has_no_break(path);
}

void check_folder(const fs::path& folder, bool overwrite, const std::string& run_yaml) {
  if (!overwrite && fs::is_directory(folder) && !fs::is_empty(folder))
    throw base::UsageError({"the output folder is not empty", folder.string(), "", "an empty or a new folder",
                            "--output chooses another; --overwrite deletes what it holds first"});
  base::check_output_folder(folder, false, overwrite, run_yaml);
}

static fs::path checked(const fs::path& folder, bool overwrite, const std::string& run_yaml) {
  check_folder(folder, overwrite, run_yaml);
  return folder;
}

// Without these a folder is no model and no adapter. As they are written last, they go first: what is left of a folder
// whose emptying was cut off does not look whole.
static void unmake(const fs::path& folder) {
  std::error_code ignored;  // who empties the folder says what cannot be removed
  for (const char* name : {"config.json", "adapter_config.json"}) fs::remove(folder / name, ignored);
}

OutputFolder::OutputFolder(const fs::path& folder, bool overwrite, const std::string& run_yaml)
    : folder_(checked(folder, overwrite, run_yaml)), above_(folder / "run.yaml") {
  lock_.take(folder);
  if (overwrite) unmake(folder);
  base::prepare_output_folder(folder, false, overwrite, run_yaml, lock_);
  base::write_file(folder / "run.yaml", run_yaml);
}

OutputFolder::~OutputFolder() {
  if (finished_) return;
  unmake(folder_);
  std::error_code ignored;
  for (fs::directory_iterator entry(folder_, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    std::error_code one;
    fs::remove_all(entry->path(), one);
  }
}

FileBeside::FileBeside(const fs::path& path, std::string_view text) : writer_(path) {
  // The writer would keep it in memory until its commit.
  std::ofstream file(writer_.part(), std::ios::binary);
  file << text << std::flush;
  const int code = errno;
  if (!file)
    throw base::Error(
        {fmt::format("cannot write: {}", std::strerror(code)), path.string(), "", "", base::advice_for(code)});
}

void check_file(const fs::path& file, bool overwrite) {
  base::check_output_is_file("--output", file);
  if (fs::exists(file) && !fs::is_regular_file(file))
    throw base::UsageError({"the output is a device or a pipe", file.string(), "", "the name of a file", ""});
  if (fs::exists(file) && !overwrite)
    throw base::UsageError(
        {"the output file exists", file.string(), "", "", "--overwrite replaces it; --output chooses another"});
}

}  // namespace lora
