// Where a model lies that is named as users name it. Tested by tests/lora/model/model_files_test.cc.
#include "lora/model/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/outputs.h"
#include "base/text.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// As huggingface_hub finds it.
fs::path hub_cache() {
  if (std::string cache = environment("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  return base::cache_home() / "huggingface" / "hub";
}

// A folder that holds one model as a GGUF and nothing else to open is that file: what `lora merge --format gguf`
// writes.
fs::path in_folder(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored) || fs::exists(path / "config.json") || is_adapter_or_run(path)) return path;
  const std::vector<fs::path> files = gguf_files(path);
  return files.size() == 1 ? files[0] : path;
}

}  // namespace

std::vector<fs::path> gguf_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool is_other =
        name.starts_with("mmproj") || (name.find("-of-") != name.npos && name.find("-00001-of-") == name.npos);
    if (base::is_gguf_name(entry.path()) && !is_other) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

bool is_adapter_or_run(const fs::path& path) {
  return fs::exists(path / "adapter_config.json") || fs::exists(path / "adapter");
}

bool is_hub_name(const std::string& model) {
  std::vector<std::string> parts = base::split(model, '/');
  return parts.size() == 2 && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return !part.empty() && part[0] != '.' && std::all_of(part.begin(), part.end(), [](unsigned char c) {
             return std::isalnum(c) || c == '-' || c == '_' || c == '.';
           });
         });
}

std::string unquantised_name(const std::string& model) {
  std::string name = model;
  for (bool again = true; again;) {
    again = false;
    for (const char* ending :
         {"-bnb-4bit", "-bnb-8bit", "-unsloth", "-bnb",  "-4bit", "-8bit", "-int4",        "-int8",
          "-w4a16",    "-w8a8",     "-w8a16",   "-gptq", "-awq",  "-fp8",  "-fp8-dynamic", "-dynamic",
          "-hqq",      "-eetq",     "-aqlm",    "-exl2", "-nf4",  "-fp4",  "-nvfp4",       "-mxfp4"}) {
      const std::size_t length = std::char_traits<char>::length(ending);
      if (name.size() <= length ||
          !std::equal(ending, ending + length, name.end() - static_cast<std::ptrdiff_t>(length),
                      [](char left, char right) { return left == std::tolower(right); }))
        continue;
      name.resize(name.size() - length);
      again = true;
    }
  }
  return name;
}

fs::path find_model(const std::string& model) {
  std::error_code ignored;
  if (fs::exists(model, ignored)) return in_folder(model);
  if (!is_hub_name(model)) return "";
  fs::path repository =
      hub_cache() / ("models--" + model.substr(0, model.find('/')) + "--" + model.substr(model.find('/') + 1));
  fs::path reference = repository / "refs" / "main";
  if (!fs::exists(reference, ignored)) return "";
  fs::path folder = repository / "snapshots" / base::trim(base::read_file(reference));
  return fs::exists(folder / "config.json", ignored) ? folder : "";
}

fs::path need_model(const std::string& model) {
  if (fs::path found = find_model(model); !found.empty()) return found;
  if (!is_hub_name(model))
    throw base::Error({"no such model", model, "", "a Hugging Face folder, a .gguf file or a name like org/model", ""});
  const std::string plain = unquantised_name(model), download = "hf download " + model;
  std::string advice = "download it: " + download + "   (pip install huggingface_hub)";
  if (plain != model && model.find("-bnb") != std::string::npos)
    advice = fmt::format(
        "by its name it is a copy that bitsandbytes quantised; give the model that it was made from with --base "
        "(finetune: "
        "--model), perhaps {}, or the copy itself: {}",
        plain, download);
  else if (plain != model)
    advice = fmt::format(
        "by its name it is a quantised copy, whose weights cannot be used here; give the model that it was made from "
        "with "
        "--base (finetune: --model), perhaps {}",
        plain);
  throw base::Error(
      {fmt::format("no such path, and not in the Hugging Face cache {}", hub_cache().string()), model, "", "", advice});
}

}  // namespace lora
