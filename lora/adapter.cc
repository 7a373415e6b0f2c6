#include "lora/adapter.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "lora/model_config.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::int64_t kMostRank = 1 << 16;

// rank_pattern or alpha_pattern: the first key in file order that matches the end of a module's name decides, as in
// PEFT's get_pattern_key.
class Patterns {
 public:
  Patterns(const ordered_json& config, const char* key, const std::string& file) {
    if (!config.contains(key) || config[key].is_null()) return;
    if (!config[key].is_object()) throw base::Error({fmt::format("bad \"{}\"", key), file, "", "an object", ""});
    for (const auto& [pattern, value] : config[key].items()) {
      RE2::Options options;
      options.set_log_errors(false);
      auto expression = std::make_unique<RE2>("(?:.*\\.)?(?:" + pattern + ")", options);
      if (!expression->ok() || !value.is_number())
        throw base::Error({fmt::format("a line of \"{}\" cannot be used", key), file, base::shortened(pattern),
                           "a regular expression without look-around, and a number", ""});
      lines_.emplace_back(std::move(expression), value.get<double>());
    }
  }
  double value_of(const std::string& module, double otherwise) const {
    for (const auto& [expression, value] : lines_)
      if (RE2::FullMatch(module, *expression)) return value;
    return otherwise;
  }

 private:
  std::vector<std::pair<std::unique_ptr<RE2>, double>> lines_;
};

// True for values that mean "not used": null, false, "none", an empty list or object.
bool is_unused(const ordered_json& value) {
  return value.is_null() || value == false || value == "none" || (value.is_structured() && value.empty());
}

void refuse_what_is_not_computed(const ordered_json& config, const std::string& file) {
  for (const char* key :
       {"use_dora", "use_qalora", "use_bdlora", "lora_bias", "bias", "modules_to_save", "fan_in_fan_out",
        "layer_replication", "target_parameters", "trainable_token_indices", "alora_invocation_tokens", "arrow_config",
        "velora_config", "monteclora_config", "kasa_config"})
    if (config.contains(key) && !is_unused(config[key]))
      throw base::Error({fmt::format("the adapter uses \"{}\", which is not supported", key), file,
                         base::shortened(config[key].dump(-1, ' ', true, ordered_json::error_handler_t::replace)),
                         "a plain LoRA of linear modules", "merge it with PEFT's merge_and_unload first"});
}

// Orders modules as the forward pass meets them. Throws for a name that is no linear module of a layer.
std::pair<std::int64_t, std::size_t> place_of(const std::string& module, const std::string& file) {
  constexpr std::string_view kLayers = "model.layers.";
  if (module.starts_with(kLayers)) {
    std::size_t dot = module.find('.', kLayers.size());
    std::string index = module.substr(kLayers.size(), dot - kLayers.size());
    bool is_index = !index.empty() && index.size() < 7 && index.find_first_not_of("0123456789") == std::string::npos;
    const auto& known = linear_modules();
    auto found = dot == std::string::npos ? known.end() : std::find(known.begin(), known.end(), module.substr(dot + 1));
    if (is_index && found != known.end()) return {std::stoll(index), static_cast<std::size_t>(found - known.begin())};
  }
  throw base::Error({"a module that cannot carry LoRA here", file, base::shortened(module),
                     "model.layers.N." + base::join(linear_modules(), " or ."),
                     "adapters of embeddings and of the head are not supported; merge with PEFT first"});
}

std::vector<float> floats_of(const base::TensorView& tensor, const std::string& file) {
  if (tensor.type > base::DType::kBF16)
    throw base::Error({"an adapter matrix of an integer type", file, base::shortened(tensor.name), "", ""});
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(tensor.type, tensor.bytes, values);
  return values;
}

// The number as JSON: an integer where it is one, as PEFT and vLLM expect of lora_alpha. The product scale * rank may
// miss the integer it came from by a rounding.
ordered_json number(double value) {
  double nearest = std::round(value);
  if (std::fabs(value - nearest) <= 1e-9 * std::max(1.0, std::fabs(value)) && std::fabs(nearest) < 1e15)
    return static_cast<std::int64_t>(nearest);
  return value;
}

// Suffixes ("q_proj") when each stands for all layers that have any; else full module names.
std::vector<std::string> target_modules(const Adapter& adapter) {
  std::set<std::string> layers, suffixes, names;
  for (const AdapterModule& module : adapter.modules) {
    names.insert(module.name);
    suffixes.insert(module.name.substr(module.name.rfind('.') + 1));
    layers.insert(module.name.substr(0, module.name.find('.', std::string_view("model.layers.").size())));
  }
  const auto& chosen = names.size() == layers.size() * suffixes.size() ? suffixes : names;
  return {chosen.begin(), chosen.end()};
}

}  // namespace

Adapter read_adapter(const fs::path& folder) {
  std::string file = (folder / "adapter_config.json").string();
  if (!fs::exists(file))
    throw base::Error({"not an adapter", folder.string(), "", "a folder with adapter_config.json",
                       "finetune train writes one to RUN/adapter"});
  ordered_json config = ordered_json::parse(base::read_file(file), nullptr, false);
  if (!config.is_object()) throw base::Error({"not a JSON object", file, "", "", ""});
  auto text = [&](const char* key) {
    return config.contains(key) && config[key].is_string() ? config[key].get<std::string>() : std::string();
  };
  auto value = [&](const char* key, double fallback) {
    if (!config.contains(key)) return fallback;
    if (!config[key].is_number()) throw base::Error({fmt::format("bad \"{}\"", key), file, "", "a number", ""});
    return config[key].get<double>();
  };
  if (text("peft_type") != "LORA")
    throw base::Error({"not a LoRA adapter", file, base::shortened(text("peft_type")), "peft_type \"LORA\"", ""});
  refuse_what_is_not_computed(config, file);

  Adapter adapter;
  adapter.base_model = text("base_model_name_or_path");
  double rank = value("r", 8);
  if (!(rank >= 1 && rank <= kMostRank) || rank != std::floor(rank))
    throw base::Error({"bad \"r\"", file, fmt::format("{}", rank), "an integer from 1 to 65536", ""});
  adapter.rank = static_cast<std::int64_t>(rank);
  adapter.alpha = value("lora_alpha", 8);
  adapter.dropout = value("lora_dropout", 0);
  adapter.rslora = config.contains("use_rslora") && config["use_rslora"] == true;
  if (!std::isfinite(adapter.alpha)) throw base::Error({"bad \"lora_alpha\"", file, "", "a number", ""});
  Patterns ranks(config, "rank_pattern", file), alphas(config, "alpha_pattern", file);

  fs::path weights = folder / "adapter_model.safetensors";
  if (!fs::exists(weights))
    throw base::Error({"the adapter has no weights", folder.string(), "", "adapter_model.safetensors",
                       fs::exists(folder / "adapter_model.bin") ? "save it with PEFT's safe_serialization=True" : ""});
  base::SafetensorsReader reader(weights);
  file = weights.string();
  std::map<std::pair<std::int64_t, std::size_t>, AdapterModule> modules;
  std::map<std::string, int> sides;
  for (const base::TensorView& tensor : reader.tensors()) {
    std::string_view name = tensor.name;
    bool is_a = name.ends_with(".lora_A.weight"), is_b = name.ends_with(".lora_B.weight");
    if (!name.starts_with(kPrefix) || (!is_a && !is_b))
      throw base::Error({"unknown tensor in the adapter", file, base::shortened(name),
                         "base_model.model.MODULE.lora_A.weight or .lora_B.weight",
                         "only a plain LoRA of linear modules is supported; merge with PEFT first"});
    std::string module(name.substr(kPrefix.size(), name.size() - kPrefix.size() - 14));
    if (tensor.shape.size() != 2 || tensor.elements() == 0)
      throw base::Error({"an adapter matrix of a wrong shape", file, base::shortened(name), "rows and columns", ""});
    AdapterModule& entry = modules[place_of(module, file)];
    entry.name = module;
    (is_a ? entry.a : entry.b) = floats_of(tensor, file);
    (is_a ? entry.in : entry.out) = tensor.shape[is_a ? 1 : 0];
    sides[module] |= is_a ? 1 : 2;
    std::int64_t given = tensor.shape[is_a ? 0 : 1];
    double declared = ranks.value_of(module, rank);
    if (static_cast<double>(given) != declared)
      throw base::Error({"the rank of a matrix is not the one in adapter_config.json", file + ": " + std::string(name),
                         std::to_string(given), fmt::format("{}", declared), ""});
    entry.rank = given;
  }
  if (modules.empty()) throw base::Error({"the adapter is empty", file, "", "", ""});
  std::set<std::string> suffixes;
  for (auto& [place, module] : modules) {
    if (sides[module.name] != 3)
      throw base::Error({"one of lora_A and lora_B is missing", file, module.name, "both", "the file is damaged"});
    double size = static_cast<double>(module.rank);
    module.scale = alphas.value_of(module.name, adapter.alpha) / (adapter.rslora ? std::sqrt(size) : size);
    suffixes.insert(module.name.substr(module.name.rfind('.') + 1));
    adapter.modules.push_back(std::move(module));
  }
  adapter.targets = expand_targets({suffixes.begin(), suffixes.end()});
  return adapter;
}

void write_adapter(const Adapter& adapter, const fs::path& folder) {
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
      {"revision", nullptr},
      {"target_modules", target_modules(adapter)},
      {"task_type", "CAUSAL_LM"},
      {"use_rslora", adapter.rslora},
  };
  // Written last: a folder without it is not an adapter.
  base::write_file(folder / "adapter_config.json", config.dump(2) + "\n");
}

}  // namespace lora
