// What mlx-lm was seen to compute otherwise, family by family. Tested by tests/lora/model/mlx_limits_test.cc.
#include "lora/model/mlx_limits.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"

namespace lora {
namespace {

// Of each of its models (mlx_lm/models/*.py): the activation in its code, whatever the config says, and the kinds of
// RoPE that it knows beside the default.
struct MlxModel {
  Activation activation;
  std::set<std::string> ropes{};
};

const std::set<std::string> kRopes = {"linear", "dynamic", "llama3", "yarn"};
const std::map<std::string, MlxModel> kModels = {
    {"llama", {Activation::kSilu, kRopes}},
    {"mistral", {Activation::kSilu, kRopes}},
    {"smollm3", {Activation::kSilu, kRopes}},
    {"qwen2", {Activation::kSilu, kRopes}},
    {"qwen3", {Activation::kSilu, kRopes}},
    {"qwen3_moe", {Activation::kSilu, kRopes}},
    {"qwen2_moe", {Activation::kSilu}},
    {"mixtral", {Activation::kSilu}},
    {"phi3", {Activation::kSilu}},
    {"phi", {Activation::kGeluTanh}},
    {"gemma", {Activation::kGeluTanh}},  // by its error function: closer than 1e-3
    {"gemma2", {Activation::kGeluTanh}},
    {"gemma3_text", {Activation::kGeluTanh, kRopes}}};
const std::set<std::string> kWrappers = {"", "gemma3", "llava", "mistral3"};

}  // namespace

std::string not_in_mlx(const ModelConfig& config) {
  const auto model = kModels.find(config.model_type);
  if (!kWrappers.contains(config.wrapper)) return "it has no model " + config.wrapper;
  if (model == kModels.end()) return "it has no model " + config.model_type;
  if (config.activation != model->second.activation) return "it computes another activation";
  const std::string rope = as_llama3(config.rope, config.turned_dim()).type;  // a GGUF has its factors
  if (rope == "longrope") return "it takes the long factors of longrope for short texts too";
  if (rope != "default" && !model->second.ropes.contains(rope))
    return fmt::format("it knows no rope_type {} for {}", rope, config.model_type);
  if (config.model_type == "qwen2_moe" && !config.dense_layers.empty()) return "it knows no layers without experts";
  const bool is_capped{config.attention_softcap != 0 && config.logit_softcap != 0};
  const bool has_cap{config.attention_softcap != 0 || config.logit_softcap != 0};
  if (config.model_type == "gemma2" ? !is_capped : has_cap) return "it knows caps of Gemma 2 alone, both of them";
  return "";
}

std::string mlx_note(const ModelConfig& config) {
  if (config.sliding_window == 0 || config.model_type == "gemma3_text") return "";
  return fmt::format("note: mlx-lm computes no sliding window for {}: beyond {} tokens its answers differ\n",
                     config.model_type, config.sliding_window);
}

std::string not_as_mlx_base(const ModelFiles& base) {
  if (base.is_gguf()) return "mlx reads no GGUF as the base of an adapter";
  const nlohmann::json config = nlohmann::json::parse(base::read_file(base.path() / "config.json"));
  if (config.contains("rope_theta") || !config.contains("rope_parameters")) return "";
  return "mlx-lm does not read rope_parameters, and the base's config.json has RoPE nowhere else";
}

}  // namespace lora
