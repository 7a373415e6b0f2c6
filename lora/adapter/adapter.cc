// A LoRA adapter as data, in PEFT's format (adapter_config.json, adapter_model.safetensors). Tested by
// tests/lora/adapter/adapter_test.cc.
#include "lora/adapter/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "lora/adapter/stacked_experts.h"
#include "lora/model/module_names.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::string_view kPrefix = "base_model.model.";

// A parameter of all experts of a layer: no linear module's name ends so.
bool is_stack(const std::string& name) {
  return name.ends_with(".experts.gate_up_proj") || name.ends_with(".experts.down_proj");
}

std::string pattern_of(std::string name) {
  if (is_stack(name)) name.insert(name.rfind('.'), ".0");
  return block_name(name).pattern;
}

// The names of a family that has all these modules as linear ones.
const ModuleNames& names_with(const std::vector<AdapterModule>& modules, const std::string& file) {
  const std::string* unknown = nullptr;
  for (const ModuleNames& names : known_module_names()) {
    const auto other = std::find_if(modules.begin(), modules.end(), [&](const AdapterModule& module) {
      return !names.order.contains(pattern_of(module.name));
    });
    if (other == modules.end()) return names;
    if (!unknown) unknown = &other->name;
  }
  std::vector<std::string> expected;
  for (const ModuleNames& names : known_module_names())
    expected.insert(expected.end(), names.linears.begin(), names.linears.end());
  if (unknown->find("vision") != std::string::npos || unknown->find("multi_modal_projector") != std::string::npos)
    throw base::Error({"a module outside the text model", file, base::shortened(*unknown), "modules of the text model",
                       "train with target_modules that name the language model's alone, or merge with PEFT"});
  throw base::Error({"a module that cannot carry LoRA here", file, base::shortened(*unknown),
                     base::join(expected, " or "),
                     "adapters of embeddings and of the head are not supported; merge with PEFT first"});
}

// As the forward pass meets them; also the targets.
void put_in_forward_order(Adapter& adapter, const ModuleNames& names) {
  std::map<std::tuple<std::int64_t, std::int64_t, std::size_t>, AdapterModule> sorted;  // of a block experts come last
  std::set<std::pair<std::size_t, std::string>> targets;
  for (AdapterModule& module : adapter.modules) {
    const BlockName name = block_name(module.name);
    const std::size_t order{names.order.at(name.pattern)};
    targets.emplace(order, suffix_of(module.name));
    sorted.emplace(std::tuple(name.block, name.expert, order), std::move(module));
  }
  adapter.modules.clear();
  for (auto& [place, module] : sorted) adapter.modules.push_back(std::move(module));
  for (const auto& [order, suffix] : targets)
    if (std::find(adapter.targets.begin(), adapter.targets.end(), suffix) == adapter.targets.end())
      adapter.targets.push_back(suffix);
}

std::vector<float> floats_of(const base::TensorView& tensor, const std::string& file) {
  if (tensor.type > base::DType::kBF16)
    throw base::Error({"an adapter matrix of an integer type", file, base::shortened(tensor.name), "", ""});
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(tensor.type, tensor.bytes, values);
  return values;
}

bool is_of_embedding_or_head(const std::string& tensor) {
  const auto& known = known_module_names();
  return std::any_of(known.begin(), known.end(), [&](const ModuleNames& names) {
    return tensor.find(names.embedding) != std::string::npos || tensor.find(names.head) != std::string::npos;
  });
}

// Any tensor that is no matrix of a plain LoRA, by name, with the likely way out.
[[noreturn]] void refuse_tensor(const base::TensorView& tensor, const std::string& file) {
  std::string advice = "only a plain LoRA of linear modules is supported; merge it with PEFT's merge_and_unload first";
  if (tensor.name.find(".lora_A.") != std::string::npos || tensor.name.find(".lora_B.") != std::string::npos)
    advice = "save it with PEFT's model.save_pretrained, which leaves the adapter's name out of the tensors' names";
  else if (is_of_embedding_or_head(tensor.name))
    advice = "the embedding or the head was trained or resized too; " + advice;
  throw base::Error({"unknown tensor in the adapter", file, base::shortened(tensor.name),
                     "base_model.model.MODULE.lora_A.weight or .lora_B.weight", advice});
}

// Every module that the config names must have tensors somewhere; a name of other architectures need not.
void check_complete(const AdapterConfig& config, const std::vector<std::string>& present, const ModuleNames& names,
                    const std::string& file) {
  for (const std::string& target : config.targets)
    if (names.suffixes.contains(target) && std::find(present.begin(), present.end(), target) == present.end())
      throw base::Error({"adapter_config.json's \"target_modules\" names a module that has no tensor", file, target,
                         "lora_A and lora_B of every module named", "the file is not whole, or the config another's"});
}

// The number as JSON: an integer where it is one, as PEFT and vLLM expect of lora_alpha. The product scale * rank may
// miss the integer it came from by a rounding.
ordered_json number(double value) {
  double nearest = std::round(value);
  if (std::fabs(value - nearest) <= 1e-9 * std::max(1.0, std::fabs(value)) && std::fabs(nearest) < 1e15)
    return static_cast<std::int64_t>(nearest);
  return value;
}

// Suffixes ("q_proj") when each stands for all layers that have any, and for all experts of these; else full module
// names, as in a wrapper, whose vision model has modules of these suffixes too.
std::vector<std::string> target_modules(const Adapter& adapter) {
  std::set<std::string> blocks, patterns, suffixes, names;
  bool is_whole = true;
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

}  // namespace

Adapter read_adapter(const fs::path& folder) {
  const AdapterConfig config = read_adapter_config(folder);
  Adapter adapter;
  static_cast<AdapterSettings&>(adapter) = config;
  fs::path weights = folder / "adapter_model.safetensors";
  if (!fs::exists(weights))
    throw base::Error({"the adapter has no weights", folder.string(), "", "adapter_model.safetensors",
                       fs::exists(folder / "adapter_model.bin") ? "save it with PEFT's safe_serialization=True" : ""});
  base::SafetensorsReader reader(weights);
  const std::string file = weights.string();
  std::unordered_map<std::string, std::size_t> places;  // in adapter.modules, which are in the file's order here
  std::vector<int> sides;                               // of each: 1 A, 2 B
  std::vector<double> sizes;                            // of each: the rank
  std::set<std::string> parameters;                     // that are adapted and are no linear module's
  for (const base::TensorView& tensor : reader.tensors()) {
    std::string_view name = tensor.name;
    bool is_a = name.ends_with(".lora_A.weight"), is_b = name.ends_with(".lora_B.weight");
    if (!name.starts_with(kPrefix) || (!is_a && !is_b)) refuse_tensor(tensor, file);
    std::string module(name.substr(kPrefix.size(), name.size() - kPrefix.size() - 14));
    if (tensor.shape.size() != 2 || tensor.elements() == 0)
      throw base::Error({"an adapter matrix of a wrong shape", file, base::shortened(name), "rows and columns", ""});
    const std::string parameter = config.parameter_of(module), key = parameter.empty() ? module : parameter;
    if (!parameter.empty()) parameters.insert(parameter);
    if (is_stack(parameter)) module = parameter;  // else a router, of which PEFT adapts the one parameter it has
    if (const std::string by = parameter.empty() ? config.excluded_by(module) : ""; !by.empty())
      throw base::Error({fmt::format("a tensor of a module that adapter_config.json's \"{}\" leaves out", by), file,
                         base::shortened(name), "tensors of the modules that the config chooses",
                         "PEFT would not use it; is the config another adapter's?"});
    const auto [place, is_new] = places.emplace(module, adapter.modules.size());
    if (is_new) {
      adapter.modules.emplace_back().name = name_of_today(module);
      adapter.modules.back().scale = config.alpha_of(key);
      sides.push_back(0);
      sizes.push_back(config.rank_of(key));
    }
    AdapterModule& entry = adapter.modules[place->second];
    (is_a ? entry.a : entry.b) = floats_of(tensor, file);
    (is_a ? entry.in : entry.out) = tensor.shape[is_a ? 1 : 0];
    sides[place->second] |= is_a ? 1 : 2;
    // Of a stack of experts: that of all of them.
    std::int64_t given = tensor.shape[is_a ? 0 : 1];
    double declared = config.rank_of(key);
    const double rank{static_cast<double>(given)};
    const bool is_whole{declared >= 1 && std::fmod(declared, 1) == 0 && std::fmod(rank, declared) == 0};
    if (is_stack(parameter) ? !is_whole || (entry.rank != 0 && entry.rank != given) : rank != declared)
      throw base::Error({"the rank of a matrix is not the one in adapter_config.json", file + ": " + std::string(name),
                         std::to_string(given), fmt::format("{}", declared), ""});
    entry.rank = given;
  }
  if (adapter.modules.empty()) throw base::Error({"the adapter is empty", file, "", "", ""});
  const ModuleNames& names = names_with(adapter.modules, file);
  std::vector<AdapterModule> modules;
  for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
    AdapterModule& module = adapter.modules[i];
    if (sides[i] != 3)
      throw base::Error({"one of lora_A and lora_B is missing", file, module.name, "both", "the file is damaged"});
    const double size{sizes[i]};
    module.scale /= adapter.rslora ? std::sqrt(size) : size;
    if (!is_stack(module.name)) {
      modules.push_back(std::move(module));
      continue;
    }
    for (AdapterModule& part : split_by_expert(module, static_cast<std::int64_t>(size)))
      modules.push_back(std::move(part));
  }
  adapter.modules = std::move(modules);
  for (const std::string& target : config.parameters)
    if (std::ranges::none_of(parameters, [&](const std::string& name) { return ("." + name).ends_with("." + target); }))
      throw base::Error(
          {"adapter_config.json's \"target_parameters\" names a parameter that has no tensor", file, target,
           "those of experts and routers: mlp.experts.gate_up_proj, mlp.experts.down_proj, mlp.gate.weight",
           "the file is not whole, or the config another's"});
  put_in_forward_order(adapter, names);
  check_complete(config, adapter.targets, names, file);
  return adapter;
}

void check_plain(const Adapter& adapter) {
  if (adapter.stacked_experts)
    throw base::Error({"an adapter of stacked experts is right only with the names of a base", adapter.base_model, "",
                       "an adapter made plain with its base model", ""});
  if (adapter.start == Start::kNothing) return;
  throw base::Error({fmt::format("a {} adapter is right only against a base without its start", name_of(adapter.start)),
                     adapter.base_model, "", "an adapter made plain with its base model", ""});
}

void write_adapter(const Adapter& adapter, const fs::path& folder) {
  check_plain(adapter);
  std::vector<base::SafetensorsWriter::Entry> entries;
  ordered_json rank_pattern = ordered_json::object(), alpha_pattern = ordered_json::object();
  for (const AdapterModule& module : adapter.modules) {
    std::string name = std::string(kPrefix) + module.name;
    entries.push_back({name + ".lora_A.weight", base::DType::kF32, {module.rank, module.in}});
    entries.push_back({name + ".lora_B.weight", base::DType::kF32, {module.out, module.rank}});
    if (module.rank != adapter.rank) rank_pattern[module.name] = module.rank;
    double size = static_cast<double>(module.rank);
    double alpha = module.scale * (adapter.rslora ? std::sqrt(size) : size);
    if (std::fabs(alpha - adapter.alpha) > 1e-9 * std::fabs(adapter.alpha)) alpha_pattern[module.name] = number(alpha);
  }
  fs::create_directories(folder);
  base::SafetensorsWriter writer(folder / "adapter_model.safetensors", std::move(entries));
  for (const AdapterModule& module : adapter.modules) {
    std::string name = std::string(kPrefix) + module.name;
    writer.write(name + ".lora_A.weight", std::as_bytes(std::span<const float>(module.a)));
    writer.write(name + ".lora_B.weight", std::as_bytes(std::span<const float>(module.b)));
  }
  writer.commit();
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
      {"modules_to_save", nullptr},
      {"peft_type", "LORA"},
      {"r", adapter.rank},
      {"rank_pattern", rank_pattern},
      {"revision", adapter.revision.empty() ? nlohmann::json() : nlohmann::json(adapter.revision)},
      {"target_modules", target_modules(adapter)},
      {"task_type", "CAUSAL_LM"},
      {"use_rslora", adapter.rslora},
  };
  // Written last: a folder without it is not an adapter.
  base::write_file(folder / "adapter_config.json", config.dump(2) + "\n");
}

}  // namespace lora
