// The mark of an adapter whose base was rounded. Tested by tests/lora/adapter/adapter_test.cc.
#include "lora/adapter/rounded_base.h"

#include "base/error.h"

namespace lora {
namespace {

constexpr const char* kKey = "base_quantization";

std::string known(const std::string& rounded, const std::string& place) {
  if (rounded == "nf4" || rounded == "int8") return rounded;
  throw base::Error(
      {"the adapter was trained on its base rounded to a type that is not known", place, rounded, "nf4 or int8", ""});
}

}  // namespace

TensorMetadata metadata_of(const AdapterSettings& adapter) {
  TensorMetadata metadata = {{"format", "pt"}};
  if (!adapter.rounded_base.empty()) metadata[kKey] = adapter.rounded_base;
  return metadata;
}

std::string rounded_base_in(const TensorMetadata& metadata, const std::string& file) {
  const auto found = metadata.find(kKey);
  return found == metadata.end() ? "" : known(found->second, file + ": __metadata__." + kKey);
}

std::string rounded_base_in(const base::GgufReader& gguf) {
  return gguf.find(kRoundedBaseKey) ? known(gguf.text(kRoundedBaseKey), gguf.path().string() + ": " + kRoundedBaseKey)
                                    : "";
}

}  // namespace lora
