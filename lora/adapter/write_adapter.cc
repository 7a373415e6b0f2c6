// Writes an adapter as PEFT reads it. Tested by tests/lora/adapter/adapter_test.cc and fresh_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/json_values.h"
#include "base/safetensors.h"
#include "lora/adapter/adapter.h"
#include "lora/adapter/extra_tensors.h"
#include "lora/adapter/rounded_base.h"
#include "lora/model/module_names.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// The number as JSON: an integer where it is one, as PEFT and vLLM expect of lora_alpha. The product scale * rank may
// miss the integer it came from by a rounding.
ordered_json number(double value) {
  double nearest = std::round(value);
  if (std::fabs(value - nearest) <= 1e-9 * std::max(1.0, std::fabs(value)) && std::fabs(nearest) < 1e15)
    return static_cast<std::int64_t>(nearest);
  return value;
}

// Suffixes ("q_proj") when each stands for all layers, and for all experts of these; else full module names, as in a
// wrapper, whose vision model has modules of these suffixes too. A list of layers would not do: PEFT before 0.21 takes
// an expert's number for the layer's.
std::vector<std::string> target_modules(const Adapter& adapter) {
  std::set<std::string> blocks, patterns, suffixes, names;
  bool is_whole{!adapter.is_partial};
  std::int64_t experts = 1;
  std::size_t of_experts = 0;  // of `patterns`
  for (const AdapterModule& module : adapter.modules) {
    const BlockName name = block_name(module.name);
    is_whole &= without_wrapper(module.name) == module.name;
    names.insert(module.name);
    suffixes.insert(suffix_of(module.name));
    blocks.emplace(name.prefix);
    of_experts += patterns.insert(name.pattern).second && name.expert >= 0 ? 1 : 0;
    experts = std::max(experts, name.expert + 1);
  }
  const std::size_t of_block{patterns.size() - of_experts + of_experts * static_cast<std::size_t>(experts)};
  const auto& chosen = is_whole && names.size() == blocks.size() * of_block ? suffixes : names;
  return {chosen.begin(), chosen.end()};
}

nlohmann::json modules_to_save(const Adapter& adapter) {
  std::set<std::string> modules;
  for (const SavedTensor& tensor : adapter.saved)
    if (tensor.is_trained) modules.insert(tensor.name.substr(0, tensor.name.rfind('.')));
  return modules.empty() ? nlohmann::json() : nlohmann::json(modules);
}

// The embedding's alone as a list, as most people write it.
nlohmann::json trainable_token_indices(const Adapter& adapter) {
  if (adapter.tokens.size() == 1 && is_embedding(adapter.tokens[0].module)) return adapter.tokens[0].ids;
  nlohmann::json modules = nlohmann::json::object();
  for (const TokenRows& rows : adapter.tokens) modules[rows.module] = rows.ids;
  return modules;
}

// A tensor of the file and where its values lie; turned ones are copies.
struct FileTensor {
  std::vector<std::int64_t> shape;
  std::span<const float> values;
  std::vector<float> turned{};
};

void add_module(std::map<std::string, FileTensor>& tensors, const AdapterModule& module, const std::string& name) {
  if (!module.magnitude.empty())
    tensors[name + ".lora_magnitude_vector"] = {{length_of_magnitude(module)}, module.magnitude};
  if (!is_embedding(name)) {
    tensors[name + ".lora_A.weight"] = {{module.rank, module.in}, module.a};
    tensors[name + ".lora_B.weight"] = {{module.out, module.rank}, module.b};
    return;
  }
  const auto add = [&](const char* ending, const std::vector<float>& matrix, std::int64_t rows, std::int64_t columns) {
    FileTensor& tensor = tensors[name + ending];
    tensor.shape = {columns, rows};
    tensor.turned = transposed(matrix, static_cast<std::size_t>(rows), static_cast<std::size_t>(columns));
    tensor.values = tensor.turned;
  };
  add(".lora_embedding_A", module.b, module.out, module.rank);
  add(".lora_embedding_B", module.a, module.rank, module.in);
}

// Of a module that carries something of the adapter, PEFT knows the base's tensor by another name.
std::string name_in_file(const Adapter& adapter, const SavedTensor& tensor) {
  const std::size_t dot{tensor.name.rfind('.')};
  const std::string module = tensor.name.substr(0, dot), last = tensor.name.substr(dot);
  const auto is_it = [&](const auto& other) {
    if constexpr (requires { other.module; })
      return other.module == module;
    else
      return other.name == module;
  };
  if (tensor.is_trained) return tensor.name;
  if (std::ranges::any_of(adapter.tokens, is_it)) return module + ".token_adapter.base_layer" + last;
  return std::ranges::any_of(adapter.modules, is_it) ? module + ".base_layer" + last : tensor.name;
}

// All tensors by name. What the embedding shares with the head stands there twice, as PEFT has it.
void write_tensors(const Adapter& adapter, const fs::path& file) {
  std::map<std::string, FileTensor> tensors;
  const auto head_of = [&](const std::string& module) -> std::string {
    return adapter.tied && is_embedding(module) ? head_beside(module) : "";
  };
  for (const AdapterModule& module : adapter.modules) {
    add_module(tensors, module, module.name);
    if (const std::string head = head_of(module.name); !head.empty()) add_module(tensors, module, head);
  }
  for (const SavedTensor& tensor : adapter.saved) {
    tensors[name_in_file(adapter, tensor)] = {tensor.shape, tensor.values};
    const std::string head = head_of(tensor.name.substr(0, tensor.name.rfind('.')));
    if (!head.empty() && tensor.is_trained) tensors[head + ".weight"] = {tensor.shape, tensor.values};
  }
  for (const TokenRows& rows : adapter.tokens)
    tensors[rows.module + ".token_adapter.trainable_tokens_delta"] = {
        {static_cast<std::int64_t>(rows.ids.size()), rows.width}, rows.values};
  std::vector<base::SafetensorsWriter::Entry> entries;
  for (const auto& [name, tensor] : tensors)
    entries.push_back({std::string(kAdapterPrefix) + name, base::DType::kF32, tensor.shape});
  base::SafetensorsWriter writer(file, std::move(entries), metadata_of(adapter));
  for (const auto& [name, tensor] : tensors)
    writer.write(std::string(kAdapterPrefix) + name, std::as_bytes(tensor.values));
  writer.commit();
}

}  // namespace

void write_adapter(const Adapter& adapter, const fs::path& folder) {
  check_plain(adapter);
  ordered_json rank_pattern = ordered_json::object(), alpha_pattern = ordered_json::object();
  for (const AdapterModule& module : adapter.modules) {
    if (module.rank != adapter.rank) rank_pattern[module.name] = module.rank;
    double size = static_cast<double>(module.rank);
    double alpha = module.scale * (adapter.rslora ? std::sqrt(size) : size);
    if (std::fabs(alpha - adapter.alpha) > 1e-9 * std::fabs(adapter.alpha)) alpha_pattern[module.name] = number(alpha);
  }
  fs::create_directories(folder);
  write_tensors(adapter, folder / "adapter_model.safetensors");
  // nlohmann::json sorts its keys, as PEFT does. These are the keys that every PEFT since 0.8 knows: an older one stops
  // at a key it does not know, and a newer one fills in the rest.
  nlohmann::json config = {
      {"alpha_pattern", alpha_pattern},
      {"auto_mapping", nullptr},
      {"base_model_name_or_path", adapter.base_model.empty() ? nlohmann::json() : nlohmann::json(adapter.base_model)},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"init_lora_weights", true},
      {"layers_pattern", nullptr},
      {"layers_to_transform", nullptr},
      {"lora_alpha", number(adapter.alpha)},
      {"lora_dropout", adapter.dropout},
      {"modules_to_save", modules_to_save(adapter)},
      {"peft_type", "LORA"},
      {"r", adapter.rank},
      {"rank_pattern", rank_pattern},
      {"revision", adapter.revision.empty() ? nlohmann::json() : nlohmann::json(adapter.revision)},
      {"target_modules", target_modules(adapter)},
      {"task_type", "CAUSAL_LM"},
      {"use_rslora", adapter.rslora},
  };
  if (adapter.dora) config["use_dora"] = true;
  if (adapter.tied) config["ensure_weight_tying"] = true;
  if (!adapter.tokens.empty()) config["trainable_token_indices"] = trainable_token_indices(adapter);
  // Written last: a folder without it is not an adapter.
  base::write_file(folder / "adapter_config.json", base::json_dump(config, 2) + "\n");
}

}  // namespace lora
