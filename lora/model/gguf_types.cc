// Which tensor of a GGUF gets which type. Tested by tests/lora/model/weight_type_test.cc.
//
// The mixtures are those of llama.cpp's llama_model_quantize without an importance matrix, so that a file made here has
// the size and the quality that people know by its name.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/tensor.h"
#include "lora/model/family.h"
#include "lora/model/weight_type.h"

namespace lora {
namespace {

using base::DType;

constexpr const char* kHead = "output.weight";
bool is_head_weight(const TensorSpec& tensor) { return tensor.gguf == kHead; }

// What llama.cpp's rules tell tensors apart by.
enum class Part { kEmbedding, kHead, kValue, kKey, kAttentionOut, kDown, kOther };

Part part_of(const std::string& gguf) {
  if (gguf == kHead) return Part::kHead;
  if (gguf == "token_embd.weight") return Part::kEmbedding;
  const auto holds = [&](const char* word) { return gguf.find(word) != std::string::npos; };
  if (holds("attn_qkv.weight") || holds("attn_v.weight")) return Part::kValue;
  if (holds("attn_k.weight")) return Part::kKey;
  if (holds("attn_output.weight")) return Part::kAttentionOut;
  return holds("ffn_down") ? Part::kDown : Part::kOther;
}

// The number behind "blk.".
std::int64_t layer_of(const std::string& gguf) {
  return gguf.starts_with("blk.") ? std::stoll(gguf.substr(4)) : std::int64_t{-1};
}

// The first and the last eighth of the layers, and every third between.
bool has_more_bits(std::int64_t layer, std::int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// A type of 256 elements where rows are no multiple of these, and one of 32 likewise.
DType fitting(DType type, std::int64_t columns) {
  const auto fits = [&](DType other) { return columns % static_cast<std::int64_t>(base::block_elements(other)) == 0; };
  if (fits(type)) return type;
  if (type == DType::kQ4_K) type = DType::kQ5_0;
  if (type == DType::kQ5_K) type = DType::kQ5_1;
  if (type == DType::kQ6_K) type = DType::kQ8_0;
  return fits(type) ? type : DType::kF16;
}

class Mixer {
 public:
  Mixer(const ModelConfig& config, WeightType type) : config_(config), type_(type) {
    const std::string_view family = family_of(config).gguf;
    is_falcon_ = family == "falcon";
    // What llama.cpp takes for a 70B: eight heads share the values there.
    shares_values_ =
        config.layers == 80 &&
        ((family == "llama" && config.experts != 8 && config.heads != config.kv_heads) || family == "qwen2");
  }

  DType of(const std::string& gguf, std::int64_t columns, bool is_tied) const {
    const Part part = part_of(gguf);
    DType type = type_.type;
    if (part == Part::kHead || (is_tied && part == Part::kEmbedding)) {
      const bool fits{columns % static_cast<std::int64_t>(base::block_elements(type)) == 0};
      type = is_falcon_ || !fits || type == DType::kQ8_0 ? DType::kQ8_0 : DType::kQ6_K;
    } else if (part == Part::kValue) {
      type = of_values(layer_of(gguf));
    } else if (part == Part::kKey && has_eight_experts()) {
      type = DType::kQ8_0;
    } else if (part == Part::kDown) {
      type = of_down(layer_of(gguf));
    } else if (part == Part::kAttentionOut && has_eight_experts() && !is_falcon_ && type == DType::kQ4_K) {
      type = DType::kQ5_K;
    }
    return fitting(type, columns);
  }

 private:
  bool has_eight_experts() const { return config_.experts == 8; }
  bool is(Mixture mixture) const { return type_.mixture == mixture; }

  DType of_values(std::int64_t layer) const {
    DType type = type_.type;
    if (is(Mixture::kMedium) && has_more_bits(layer, config_.layers)) type = DType::kQ6_K;
    if (is(Mixture::kSmall) && type == DType::kQ4_K && layer < 4) type = DType::kQ5_K;
    if (shares_values_ && type == DType::kQ4_K) type = DType::kQ5_K;
    return has_eight_experts() ? DType::kQ8_0 : type;
  }

  DType of_down(std::int64_t layer) const {
    const std::int64_t layers{config_.layers};
    const bool more{has_more_bits(layer, layers)};
    if (is(Mixture::kMedium) && type_.type == DType::kQ4_K && is_falcon_)
      return layer < layers / 16 ? DType::kQ6_K : more ? DType::kQ5_K : DType::kQ4_K;
    if (is(Mixture::kMedium) && more) return DType::kQ6_K;
    if (is(Mixture::kSmall) && type_.type == DType::kQ4_K && !is_falcon_ && layer < layers / 8) return DType::kQ5_K;
    return type_.type;
  }

  const ModelConfig& config_;
  WeightType type_;
  bool is_falcon_ = false, shares_values_ = false;
};

}  // namespace

std::unordered_map<std::string, DType> gguf_types(const ModelConfig& config, const std::vector<TensorSpec>& tensors,
                                                  WeightType type) {
  const Mixer mixer(config, type);
  const bool is_tied{std::ranges::none_of(tensors, is_head_weight)};
  std::unordered_map<std::string, DType> types;
  for (const TensorSpec& tensor : tensors)
    types[tensor.name] = tensor.shape.size() == 1 || tensor.gguf_float ? DType::kF32
                         : !base::is_block_type(type.type)             ? type.type
                                                           : mixer.of(tensor.gguf, tensor.shape.back(), is_tied);
  return types;
}

std::unordered_map<std::string, DType> gguf_types(const ModelFiles& model, WeightType type) {
  std::vector<TensorSpec> tensors;
  for (const std::string& name : model.names()) tensors.push_back(model.tensor(name));
  return gguf_types(model.config(), tensors, type);
}

std::string block_note(const ModelFiles& model, WeightType type) {
  const std::size_t elements{base::block_elements(type.type)};
  std::set<std::string_view> others;
  std::size_t count = 0;
  for (const auto& [name, given] : gguf_types(model, type)) {
    if (given == DType::kF32 || static_cast<std::size_t>(model.shape(name).back()) % elements == 0) continue;
    others.insert(base::name_of(given));
    ++count;
  }
  if (count == 0) return "";
  return fmt::format("note: rows of {} matrices are no multiple of {}: they are {}, as llama.cpp makes them\n", count,
                     elements, fmt::join(others, " and "));
}

}  // namespace lora
