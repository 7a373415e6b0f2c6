// Where model files are found that the program does not carry itself. Tested by tests/curate/train/scorer_test.cc.
#include "curate/text/models.h"

#include <cstdlib>
#include <vector>

#include "base/error.h"

namespace curate {
namespace fs = std::filesystem;

fs::path find_model(const std::string& given, std::string_view name, std::string_view option, std::string_view advice) {
  std::error_code ignored;
  if (!given.empty()) {
    if (fs::is_regular_file(given, ignored)) return given;
    throw base::Error({"the model does not exist", std::string(option), given, "a file", std::string(advice)});
  }
  std::vector<fs::path> folders;
  if (const char* environment = std::getenv("HORNBOOK_MODELS")) folders.emplace_back(environment);
  fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  if (!program.empty()) {
    folders.push_back(program / "../share/hornbook/models");
    folders.push_back(program / "../../data");  // SOURCE/build/PRESET/bin -> SOURCE/build/data
    folders.push_back(program / "../../../curate/models");
  }
  folders.emplace_back("build/data");
  folders.emplace_back("data/models");
  std::string places;
  for (const fs::path& folder : folders) {
    fs::path candidate = (folder / name).lexically_normal();
    if (fs::is_regular_file(candidate, ignored)) return candidate;
    places += (places.empty() ? "" : ", ") + candidate.string();
  }
  throw base::Error({"the model " + std::string(name) + " was not found", std::string(option), "", "one of " + places,
                     std::string(advice)});
}

}  // namespace curate
