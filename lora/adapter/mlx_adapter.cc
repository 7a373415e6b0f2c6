// Adapters as mlx-lm keeps them. Tested by tests/lora/adapter/mlx_adapter_test.cc.
//
// Its layers compute y = W x + scale * (x a) b with a [in, rank] and b [rank, out]: both are PEFT's turned. An adapted
// embedding takes rows of a, [tokens, rank], and serves as the head of a model that ties the two.
#include "lora/adapter/mlx_adapter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fault.h"
#include "base/json_values.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "lora/adapter/extra_tensors.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/rounded_base.h"
#include "lora/model/module_names.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char *kWeights = "adapters.safetensors", *kConfig = "adapter_config.json";
constexpr std::string_view kLayers = "model.layers.";
constexpr const char* kWayOut = "merge it into the model and convert that: lora merge --format hf, mlx_lm.convert";

// As "keys" of mlx-lm have it: within a layer, or whole outside of them.
std::string key_of(const std::string& module) {
  if (!module.starts_with(kLayers)) return module;
  const std::size_t dot{module.find('.', kLayers.size())};
  return dot == std::string::npos ? module : module.substr(dot + 1);
}

void check_writable(const Adapter& adapter) {
  check_plain(adapter);
  const auto refuse = [&](const std::string& what) {
    throw base::Error({"an MLX adapter cannot carry all of this adapter, and would compute something else",
                       adapter.base_model, what, "LoRA or DoRA on linear layers of its blocks", kWayOut});
  };
  if (!adapter.saved.empty()) refuse("whole modules");
  if (!adapter.tokens.empty()) refuse("rows of tokens");
  for (const AdapterModule& module : adapter.modules)
    if (!module.name.starts_with(kLayers) || block_name(module.name).expert >= 0) refuse(module.name);
}

// The member of an object, refused where it is missing or of another kind.
template <class Is>
const json& member(const json& object, const char* key, const std::string& file, const char* expected, Is is) {
  const auto found = object.find(key);
  if (found == object.end() || !((*found).*is)())
    throw base::Error({"an MLX adapter's config without what it computes with", file + ": " + key,
                       found == object.end() ? "" : found->dump(), expected, "is it mlx-lm's adapter_config.json?"});
  return *found;
}

// The parts of the config that mlx-lm reads when it loads an adapter; all others are of its training.
struct Config {
  bool dora = false;
  double scale = 1, dropout = 0;
  std::int64_t rank = 0;
  std::set<std::string> keys;  // empty: not told
  std::string base;
};

Config config_of(const fs::path& file) {
  const std::string where = file.string();
  const std::string text = base::read_file(file);
  const json all = json::parse(text, nullptr, false);
  if (!all.is_object()) throw base::no_json_object(text, where, "the file is damaged or cut off: fetch it again");
  Config config;
  const std::string type = all.value("fine_tune_type", "lora");
  if (type != "lora" && type != "dora")
    throw base::Error(
        {"not a low-rank adapter", where + ": fine_tune_type", type, "lora or dora",
         type == "full" ? "its adapters.safetensors holds whole weights: mlx_lm.fuse makes a model of it" : ""});
  config.dora = type == "dora";
  const json& parameters = member(all, "lora_parameters", where, "an object", &json::is_object);
  static const std::set<std::string> kKnown = {"rank", "scale", "dropout", "keys", "alpha"};
  for (const auto& [key, value] : parameters.items())
    if (!kKnown.contains(key) && !value.is_null())
      throw base::Error({"a key that is not known", where + ": lora_parameters", key,
                         fmt::format("{}", fmt::join(kKnown, ", ")), ""});
  config.rank = member(parameters, "rank", where, "a whole number", &json::is_number_integer).get<std::int64_t>();
  config.scale = member(parameters, "scale", where, "a number", &json::is_number).get<double>();
  if (const auto dropout = parameters.find("dropout"); dropout != parameters.end() && dropout->is_number())
    config.dropout = dropout->get<double>();
  if (const auto keys = parameters.find("keys"); keys != parameters.end() && keys->is_array())
    for (const json& key : *keys)
      if (key.is_string()) config.keys.insert(key.get<std::string>());
  if (const auto base = all.find("model"); base != all.end() && base->is_string())
    config.base = base->get<std::string>();
  return config;
}

struct Parts {
  const base::TensorView *a = nullptr, *b = nullptr, *m = nullptr;
};

// By module. A name or a shape that is none of ours is refused.
std::map<std::string, Parts> parts_of(const base::SafetensorsReader& file, const Config& config,
                                      const std::string& where) {
  std::map<std::string, Parts> modules;
  for (const base::TensorView& tensor : file.tensors()) {
    const std::size_t dot{tensor.name.rfind('.')};
    const std::string last = dot == std::string::npos ? "" : tensor.name.substr(dot + 1);
    const std::string module = tensor.name.substr(0, dot);
    const std::size_t dimensions{last == "m" ? std::size_t{1} : std::size_t{2}};
    if (last != "lora_a" && last != "lora_b" && last != "m")
      throw base::Error({"unknown tensor in the adapter", where, base::shortened(tensor.name),
                         "MODULE.lora_a, MODULE.lora_b, MODULE.m",
                         "a layer trained whole: mlx_lm.fuse makes a model of it"});
    if (tensor.shape.size() != dimensions || tensor.elements() == 0)
      throw base::Error({"an adapter matrix of a wrong shape", where, base::shortened(tensor.name),
                         "rows and columns; stacks of experts are not read", "mlx_lm.fuse makes a model of it"});
    if (!config.keys.empty() && !config.keys.contains(key_of(module)))
      throw base::Error({"a tensor of a module that adapter_config.json's \"keys\" leaves out", where,
                         base::shortened(tensor.name), "tensors of the modules that the config chooses",
                         "mlx-lm would not use it; is the config another adapter's?"});
    Parts& parts = modules[module];
    (last == "lora_a" ? parts.a : last == "lora_b" ? parts.b : parts.m) = &tensor;
  }
  return modules;
}

std::vector<float> values_of(const base::TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(tensor.type, tensor.bytes, values);
  return values;
}

std::vector<float> turned(const base::TensorView& tensor) {
  return transposed(values_of(tensor), static_cast<std::size_t>(tensor.shape[0]),
                    static_cast<std::size_t>(tensor.shape[1]));
}

AdapterModule module_of(const std::string& name, const Parts& parts, const Config& config, const std::string& where) {
  if (!parts.a || !parts.b)
    throw base::Error({"one of lora_a and lora_b is missing", where, name, "both", "the file is damaged"});
  if (parts.a->shape[1] != config.rank || parts.b->shape[0] != config.rank)
    throw base::Error({"the rank of a matrix is not the one in adapter_config.json", where + ": " + name,
                       std::to_string(parts.a->shape[1]), std::to_string(config.rank), ""});
  AdapterModule module{name, config.rank, parts.a->shape[0], parts.b->shape[1], config.scale, {}, {}};
  module.a = turned(*parts.a);
  module.b = turned(*parts.b);
  if (is_embedding(name)) {  // rows of tokens are lora_a's
    std::swap(module.in, module.out);
    module.a = values_of(*parts.b);
    module.b = values_of(*parts.a);
  }
  if (parts.m) module.magnitude = values_of(*parts.m);
  const bool fits{parts.m ? parts.m->shape[0] == module.out : true};
  if (config.dora != (parts.m != nullptr) || !fits || (config.dora && is_embedding(name)))
    throw base::Error({"magnitudes that do not go with \"fine_tune_type\"", where, name,
                       config.dora ? "m, a number for each row of a linear layer" : "no m without dora", ""});
  return module;
}

}  // namespace

bool is_mlx_adapter(const fs::path& folder) {
  return fs::exists(folder / kWeights) && !fs::exists(folder / "adapter_model.safetensors");
}

Adapter read_mlx_adapter(const fs::path& folder) {
  const Config config = config_of(folder / kConfig);
  const base::SafetensorsReader file(folder / kWeights);
  const std::string where = (folder / kWeights).string();
  Adapter adapter;
  adapter.base_model = config.base;
  adapter.rank = config.rank;
  adapter.alpha = config.scale * static_cast<double>(config.rank);
  adapter.dropout = config.dropout;
  adapter.dora = config.dora;
  adapter.rounded_base = rounded_base_in(file.metadata(), where);
  adapter.is_partial = true;  // how many layers the base has is not told
  for (const auto& [name, parts] : parts_of(file, config, where)) {
    adapter.modules.push_back(module_of(name, parts, config, where));
    adapter.tied |= is_embedding(name);
  }
  if (adapter.modules.empty()) throw base::Error({"the adapter is empty", where, "", "", ""});
  put_in_order(adapter, where);
  return adapter;
}

void write_mlx_adapter(const Adapter& adapter, const fs::path& folder) {
  check_writable(adapter);
  const Adapter even = with_one_scale(adapter);
  std::map<std::string, std::pair<std::vector<std::int64_t>, std::vector<float>>> tensors;
  std::set<std::string> keys;
  for (const AdapterModule& module : even.modules) {
    const auto rank = static_cast<std::size_t>(module.rank);
    tensors[module.name + ".lora_a"] = {{module.in, module.rank},
                                        transposed(module.a, rank, static_cast<std::size_t>(module.in))};
    tensors[module.name + ".lora_b"] = {{module.rank, module.out},
                                        transposed(module.b, static_cast<std::size_t>(module.out), rank)};
    if (!module.magnitude.empty()) tensors[module.name + ".m"] = {{module.out}, module.magnitude};
    keys.insert(key_of(module.name));
  }
  fs::create_directories(folder);
  std::vector<base::SafetensorsWriter::Entry> entries;
  for (const auto& [name, tensor] : tensors) entries.push_back({name, base::DType::kF32, tensor.first});
  base::SafetensorsWriter writer(folder / kWeights, std::move(entries), metadata_of(even));
  for (const auto& [name, tensor] : tensors) writer.write(name, std::as_bytes(std::span<const float>(tensor.second)));
  writer.commit();
  json config = {{"fine_tune_type", even.dora ? "dora" : "lora"},
                 {"num_layers", -1},  // all: B of a layer without a tensor is zero
                 {"lora_parameters",
                  {{"rank", even.rank},
                   {"scale", even.alpha / static_cast<double>(even.rank)},
                   {"dropout", even.dropout},
                   {"keys", keys}}}};
  if (!even.base_model.empty()) config["model"] = even.base_model;
  base::write_file(folder / kConfig, base::json_dump(config, 2) + "\n");
}

}  // namespace lora
