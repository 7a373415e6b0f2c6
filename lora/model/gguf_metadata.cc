// The metadata of GGUF files that hold a model (keys: llama.cpp's convert_hf_to_gguf.py). Tested by
// tests/lora/adapter/merge_test.cc.
#include "lora/model/gguf_metadata.h"

#include <fmt/format.h>

#include <cmath>

#include "lora/model/family.h"
#include "lora/model/licence.h"
#include "tokenizer/write/convert.h"
#include "tokenizer/write/grow.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using base::GgufValue;

constexpr std::uint32_t kQuantizationVersion = 2;  // GGML_QNT_VERSION

GgufMetadata metadata_from_gguf(const base::GgufReader& file, WeightType type) {
  GgufMetadata metadata;
  bool has_type = false, has_version = false;
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with("quantize.imatrix.")) continue;  // the calibration of a quantised file, not of the new one
    metadata.emplace_back(key, value);
    if (key == "general.file_type") {
      metadata.back().second = GgufValue::u32(gguf_file_type(type));
      has_type = true;
    }
    if (key == "general.quantization_version") {
      metadata.back().second = GgufValue::u32(kQuantizationVersion);
      has_version = true;
    }
  }
  if (!has_type) metadata.emplace_back("general.file_type", GgufValue::u32(gguf_file_type(type)));
  if (!has_version) metadata.emplace_back("general.quantization_version", GgufValue::u32(kQuantizationVersion));
  return metadata;
}

}  // namespace

std::string model_name(const fs::path& path) {
  fs::path full = fs::absolute(path).lexically_normal();
  if (!full.has_filename()) full = full.parent_path();
  if (full.parent_path().filename() == "snapshots") {  // models--org--name/snapshots/COMMIT
    std::string name = full.parent_path().parent_path().filename().string();
    if (name.starts_with("models--")) name = name.substr(8);
    std::size_t dashes = name.find("--");
    return dashes == std::string::npos ? name : name.substr(0, dashes) + "/" + name.substr(dashes + 2);
  }
  return full.extension() == ".gguf" ? full.stem().string() : full.filename().string();
}

std::string size_label(std::uint64_t parameters) {
  double scaled = static_cast<double>(parameters);
  const char* unit = "K";
  if (scaled > 1e12) {
    scaled /= 1e12;
    unit = "T";
  } else if (scaled > 1e9) {
    scaled /= 1e9;
    unit = "B";
  } else if (scaled > 1e6) {
    scaled /= 1e6;
    unit = "M";
  } else {
    scaled /= 1e3;
  }
  double rounded = std::round(scaled);
  int decimals = rounded < 1 ? 2 : rounded < 10 ? 1 : 0;
  return fmt::format("{:.{}f}{}", scaled, decimals, unit);
}

std::vector<std::pair<std::string, std::vector<float>>> rope_tensors(const ModelConfig& config) {
  const RopeSpec& rope = config.rope;
  if (rope.type == "longrope")
    return {{"rope_factors_long.weight", rope.long_factors}, {"rope_factors_short.weight", rope.factors}};
  if (rope.type != "llama3" && rope.type != "factors") return {};
  return {{"rope_freqs.weight", stretch_factors(rope, config.turned_dim())}};
}

std::string gguf_note(const ModelConfig& config) {
  const Family& family = family_of(config);
  if (config.sliding_window == 0 || family.has_gguf_windows) return "";
  return fmt::format("note: llama.cpp computes no sliding window for {}: beyond {} tokens its answers differ\n",
                     family.gguf, config.sliding_window);
}

namespace {

// Without the tokens that no file has.
GgufMetadata metadata_of_files(const ModelFiles& model, WeightType type) {
  if (model.gguf()) return metadata_from_gguf(*model.gguf(), type);
  const ModelConfig& config = model.config();
  std::uint64_t parameters = 0;
  for (const std::string& name : model.names()) parameters += static_cast<std::uint64_t>(model.view(name).elements());
  GgufMetadata metadata = {
      {"general.architecture", GgufValue::text(family_of(config).gguf)},
      {"general.type", GgufValue::text("model")},
      {"general.name", GgufValue::text(model_name(model.path()))},
      {"general.size_label", GgufValue::text(size_label(parameters))},
      {"general.file_type", GgufValue::u32(gguf_file_type(type))},
      {"general.quantization_version", GgufValue::u32(kQuantizationVersion)},
  };
  if (const std::string licence = licence_of(model); !licence.empty())
    metadata.emplace_back("general.license", GgufValue::text(licence));
  for (auto& pair : config_to_gguf(config)) metadata.push_back(std::move(pair));
  for (auto& pair : tokenizer::gguf_metadata_from_folder(model.path(), config.vocab_size))
    metadata.push_back(std::move(pair));
  return metadata;
}

}  // namespace

GgufMetadata gguf_metadata(const ModelFiles& model, WeightType type) {
  GgufMetadata metadata = metadata_of_files(model, type);
  if (!model.new_tokens().empty() || model.new_rows(model.spec().embedding + ".weight") > 0)
    tokenizer::add_new_tokens(metadata, model.new_tokens(), model.config().vocab_size);
  return metadata;
}

}  // namespace lora
