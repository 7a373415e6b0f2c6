// Tells one base model from another by what their files hold, not by their names. Tested by tests/lora/locate_test.cc.
#include "lora/model/identity.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>

#include "base/resident.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSample = 64 << 10;

class Hash {
 public:
  Hash() : state_(XXH3_createState(), XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(const void* data, std::size_t size) { XXH3_64bits_update(state_.get(), data, size); }
  void add(const std::string& text) { add(text.c_str(), text.size() + 1); }
  std::string text() const { return fmt::format("{:016x}", XXH3_64bits_digest(state_.get())); }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

std::uintmax_t weight_bytes(const ModelFiles& model) {
  std::uintmax_t bytes = 0;
  if (model.is_gguf()) {
    for (const fs::path& file : model.gguf()->paths()) bytes += fs::file_size(file);
    return bytes;
  }
  for (const auto& entry : fs::directory_iterator(model.path()))
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size();
  return bytes;
}

}  // namespace

std::string identity_of(const ModelFiles& model) {
  Hash header, weights;
  header.add(config_to_json(model.config(), ""));
  for (const std::string& name : model.names()) {
    const base::TensorView& tensor = model.view(name);
    header.add(fmt::format("{} {} {}", name, base::name_of(tensor.type), fmt::join(tensor.shape, ",")));
    const std::size_t size = tensor.bytes.size(), sample = std::min(kSample, size);
    for (const std::size_t first : {std::size_t{0}, (size - sample) / 2, size - sample})
      weights.add(tensor.bytes.data() + first, sample);
    base::give_back(tensor.bytes);  // a look at a few bytes maps megabytes around them
  }
  return fmt::format("{} bytes, header {}, weights {}", weight_bytes(model), header.text(), weights.text());
}

}  // namespace lora
