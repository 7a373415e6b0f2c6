#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "lora/adapter/adapter.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/read_gguf_adapter.h"
#include "lora/adapter/start.h"
#include "tests/fuzz/entries.h"
#include "tests/fuzz/memory_file.h"

namespace fuzz {
namespace {

namespace fs = std::filesystem;

const lora::ModelFiles& base_model() {
  static const lora::ModelFiles model(HORNBOOK_SOURCE_DIR "/tests/golden/lora/base");
  return model;
}

// What was read says its own sizes, and fits its base or is refused.
void use(const lora::Adapter& adapter) {
  for (const lora::AdapterModule& module : adapter.modules) {
    check(module.rank > 0 && module.in > 0 && module.out > 0, "a module has sizes");
    check(module.a.size() == static_cast<std::size_t>(module.rank * module.in), "A is rank x in");
    check(module.b.size() == static_cast<std::size_t>(module.out * module.rank), "B is out x rank");
    check(module.magnitude.empty() || module.magnitude.size() == static_cast<std::size_t>(module.out),
          "a magnitude for each row");
  }
  if (adapter.start != lora::Start::kNothing) return;  // an eigendecomposition of each weight
  const lora::Adapter plain = lora::plain_adapter(adapter, base_model(), 1);
  lora::check_fits(plain, base_model());
}

}  // namespace

void gguf_adapter(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(".gguf", data, size);
  try {
    if (lora::is_gguf_adapter(file.path())) use(lora::read_gguf_adapter(file.path()));
  } catch (const base::Error&) {
  }
}

void folder_adapter(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t config{std::min<std::size_t>(data[1] + 256U * data[2], size - 3)};
  const fs::path folder = fs::temp_directory_path() / ("hornbook_fuzz_adapter." + std::to_string(::getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  std::ofstream(folder / "adapter_config.json", std::ios::binary) << bytes.substr(3, config);  // no wait for the disk
  const MemoryFile tensors(".safetensors", data + 3 + config, size - 3 - config);
  fs::create_symlink(fs::read_symlink(tensors.path()),
                     folder / (data[0] & 1 ? "adapters.safetensors" : "adapter_model.safetensors"));
  try {
    use(lora::read_adapter(folder));
  } catch (const base::Error&) {
  }
}

}  // namespace fuzz
