// The tensors of a PEFT adapter by their names. Tested by tests/finetune/variants_test.cc.
#include "lora/adapter/extra_tensors.h"

#include <algorithm>

#include "lora/model/module_names.h"

namespace lora {
namespace {

struct Ending {
  std::string_view text;
  TensorKind kind;
};
constexpr Ending kEndings[] = {
    {".lora_A.weight", TensorKind::kA},
    {".lora_B.weight", TensorKind::kB},
    {".lora_embedding_A", TensorKind::kEmbeddingA},
    {".lora_embedding_B", TensorKind::kEmbeddingB},
    {".lora_magnitude_vector", TensorKind::kMagnitude},
    {".lora_magnitude_vector.weight", TensorKind::kMagnitude},  // PEFT before 0.13
    {".token_adapter.trainable_tokens_delta", TensorKind::kTokens},
};

}  // namespace

bool is_embedding(const std::string& module) {
  const auto& known = known_module_names();
  return std::ranges::any_of(known, [&](const ModuleNames& names) { return names.embedding == module; });
}

bool is_head(const std::string& module) {
  const auto& known = known_module_names();
  return std::ranges::any_of(known, [&](const ModuleNames& names) { return names.head == module; });
}

std::string head_beside(const std::string& embedding) {
  for (const ModuleNames& names : known_module_names())
    if (names.embedding == embedding) return names.head;
  return "";
}

std::string plain_tensor_name(std::string tensor, std::string& adapter) {
  constexpr std::string_view kCompiled = "_orig_mod.", kWhole = ".modules_to_save.";
  for (std::size_t place; (place = tensor.find(kCompiled)) != std::string::npos;) tensor.erase(place, kCompiled.size());
  for (const std::string_view marker :
       {std::string_view(".lora_A."), std::string_view(".lora_B."), std::string_view(".lora_magnitude_vector."),
        std::string_view(".lora_embedding_A."), std::string_view(".lora_embedding_B."),
        std::string_view(".trainable_tokens_delta."), kWhole}) {
    const std::size_t place{tensor.rfind(marker)};
    if (place == std::string::npos) continue;
    const std::size_t first{place + marker.size()}, end{std::min(tensor.find('.', first), tensor.size())};
    const std::string name = tensor.substr(first, end - first);
    if (name == "weight" || name == "bias") continue;
    adapter = name;
    const std::size_t from{marker == kWhole ? place : first - 1};
    return tensor.erase(from, end - from);
  }
  return tensor;
}

TensorName tensor_name(std::string_view tensor, const AdapterConfig& config) {
  if (!tensor.starts_with(kAdapterPrefix)) return {};
  tensor.remove_prefix(kAdapterPrefix.size());
  for (const auto& [ending, kind] : kEndings)
    if (tensor.ends_with(ending)) return {kind, std::string(tensor.substr(0, tensor.size() - ending.size()))};
  if (tensor.find(".lora_") != std::string_view::npos) return {};
  if (!tensor.ends_with(".weight") && !tensor.ends_with(".bias")) return {};
  // Of a module that carries LoRA or rows of tokens: PEFT saves the embedding where it was adapted or resized.
  std::string name(tensor);
  for (const char* inner : {".token_adapter.base_layer", ".base_layer"})
    if (const std::size_t place = name.rfind(inner); place != std::string::npos) {
      const std::string holder = name.substr(0, place);
      if (!is_embedding(holder) && !is_head(holder)) return {};
      return {TensorKind::kSaved, name.erase(place, std::string_view(inner).size())};
    }
  if (saves_tensor(config.saved, name)) return {TensorKind::kTrained, name};
  const std::string module = name.substr(0, name.rfind('.'));
  if (is_embedding(module) || is_head(module)) return {TensorKind::kSaved, name};
  return {};
}

std::vector<float> transposed(std::span<const float> matrix, std::size_t rows, std::size_t columns) {
  std::vector<float> turned(matrix.size());
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t column = 0; column < columns; ++column)
      turned[column * rows + row] = matrix[row * columns + column];
  return turned;
}

}  // namespace lora
