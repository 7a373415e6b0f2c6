// A LoRA adapter as data, in PEFT's format (adapter_config.json, adapter_model.safetensors). Tested by
// tests/lora/adapter/adapter_test.cc.
#include "lora/adapter/adapter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "lora/adapter/extra_tensors.h"
#include "lora/adapter/mlx_adapter.h"
#include "lora/adapter/read_gguf_adapter.h"
#include "lora/adapter/rounded_base.h"
#include "lora/adapter/stacked_experts.h"
#include "lora/model/module_names.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

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
      return module.name != names.embedding && module.name != names.head &&
             !names.order.contains(pattern_of(module.name));
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
                     base::join(expected, " or "), "merge with PEFT first"});
}

// Embedding and head, then as the forward pass meets them; also the targets, of which these two come last, and the
// tensors by name.
void put_in_order_of(Adapter& adapter, const ModuleNames& names) {
  std::map<std::tuple<std::int64_t, std::int64_t, std::size_t>, AdapterModule> sorted;  // of a block experts come last
  std::set<std::pair<std::size_t, std::string>> targets;
  for (AdapterModule& module : adapter.modules) {
    const bool is_outside{module.name == names.embedding || module.name == names.head};
    const BlockName name = block_name(module.name);
    const std::size_t order{is_outside ? names.order.size() + (module.name == names.head ? 1 : 0)
                                       : names.order.at(name.pattern)};
    targets.emplace(order, suffix_of(module.name));
    sorted.emplace(std::tuple(name.block, name.expert, order), std::move(module));
  }
  adapter.modules.clear();
  for (auto& [place, module] : sorted) adapter.modules.push_back(std::move(module));
  for (const auto& [order, suffix] : targets)
    if (std::find(adapter.targets.begin(), adapter.targets.end(), suffix) == adapter.targets.end())
      adapter.targets.push_back(suffix);
  std::ranges::sort(adapter.saved, {}, &SavedTensor::name);
  std::ranges::sort(adapter.tokens, {}, &TokenRows::module);
}

std::vector<float> floats_of(const base::TensorView& tensor, const std::string& file) {
  if (tensor.type > base::DType::kBF16)
    throw base::Error({"an adapter matrix of an integer type", file, base::shortened(tensor.name), "", ""});
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(tensor.type, tensor.bytes, values);
  return values;
}

// Any tensor that is no matrix of a plain LoRA, by name, with the likely way out.
[[noreturn]] void refuse_tensor(const base::TensorView& tensor, const std::string& file) {
  std::string advice =
      "what LoRA, DoRA, modules_to_save and trainable_token_indices make is known; merge it with PEFT's "
      "merge_and_unload first";
  if (tensor.name.find(".lora_A.") != std::string::npos || tensor.name.find(".lora_B.") != std::string::npos)
    advice = "save it with PEFT's model.save_pretrained, which leaves the adapter's name out of the tensors' names";
  throw base::Error({"unknown tensor in the adapter", file, base::shortened(tensor.name),
                     "base_model.model.MODULE.lora_A.weight or .lora_B.weight", advice});
}

// Every module that the config names must have tensors somewhere; a name of other architectures need not, nor one that
// another key leaves out or that is trained whole.
void check_complete(const AdapterConfig& config, const std::vector<std::string>& present, const ModuleNames& names,
                    const std::string& file) {
  const auto is_left_out = [&](const std::string& name) {
    const std::string by = config.excluded_by(name);
    const bool is_outside{name == names.embedding || name == names.head};  // in none of the layers that a key chooses
    return by == "exclude_modules" || (is_outside && !by.empty()) || saves_tensor(config.saved, name + ".weight");
  };
  std::vector<std::string> all = names.linears;
  all.insert(all.end(), {names.embedding, names.head});
  const auto may_miss = [&](const std::string& target) {
    return std::ranges::any_of(all,
                               [&](const std::string& name) { return suffix_of(name) == target && is_left_out(name); });
  };
  for (const std::string& target : config.targets)
    if (names.suffixes.contains(target) && !may_miss(target) &&
        std::find(present.begin(), present.end(), target) == present.end())
      throw base::Error({"adapter_config.json's \"target_modules\" names a module that has no tensor", file, target,
                         "lora_A and lora_B of every module named", "the file is not whole, or the config another's"});
}

// The tensors of an adapter, taken one by one.
class AdapterReader {
 public:
  AdapterReader(const AdapterConfig& config, const fs::path& file)
      : config_(config), reader_(file), file_(file.string()) {
    static_cast<AdapterSettings&>(adapter_) = config;
    adapter_.rounded_base = rounded_base_in(reader_.metadata(), file_);
  }

  Adapter read() {
    for (const base::TensorView& tensor : reader_.tensors()) take(renamed(tensor));
    if (adapter_.modules.empty() && adapter_.saved.empty() && adapter_.tokens.empty())
      throw base::Error({"the adapter is empty", file_, "", "", ""});
    const ModuleNames& names = names_with(adapter_.modules, file_);
    finish_modules();
    check_parameters();
    if (adapter_.tied) drop_the_tied_head();
    put_in_order_of(adapter_, names);
    check_complete(config_, adapter_.targets, names, file_);
    for (const std::string& module : config_.saved) check_saved(module);
    return std::move(adapter_);
  }

 private:
  // Of a module while its tensors are read.
  struct Parts {
    bool a = false, b = false;
    double rank = 0;  // as declared
  };

  // Without the words that torch.compile and a state_dict leave in a name.
  base::TensorView renamed(base::TensorView tensor) {
    std::string adapter;
    tensor.name = plain_tensor_name(tensor.name, adapter);
    if (!adapter.empty()) names_.insert(adapter);
    if (!seen_.insert(tensor.name).second || names_.size() > 1)
      throw base::Error({"more than one adapter in a file", file_, fmt::format("{}", fmt::join(names_, ", ")), "one",
                         "save each with PEFT's model.save_pretrained(FOLDER, selected_adapters=[NAME])"});
    return tensor;
  }

  void take(const base::TensorView& tensor) {
    const auto [kind, of] = tensor_name(tensor.name, config_);
    switch (kind) {
      case TensorKind::kUnknown:
        refuse_tensor(tensor, file_);
      case TensorKind::kTokens:
        return take_tokens(tensor, of);
      case TensorKind::kTrained:
      case TensorKind::kSaved:
        adapter_.saved.push_back(
            {name_of_today(of), tensor.shape, floats_of(tensor, file_), kind == TensorKind::kTrained});
        return;
      default:
        return take_matrix(tensor, kind, of);
    }
  }

  void take_tokens(const base::TensorView& tensor, const std::string& module) {
    const auto found = std::ranges::find_if(config_.tokens, [&](const auto& entry) {
      return entry.first.empty() ? is_embedding(name_of_today(module)) : module.ends_with(entry.first);
    });
    const auto rows = static_cast<std::int64_t>(found == config_.tokens.end() ? 0 : found->second.size());
    if (rows == 0 || tensor.shape.size() != 2 || tensor.shape[0] != rows)
      throw base::Error({"rows of tokens that are not those of adapter_config.json's \"trainable_token_indices\"",
                         file_ + ": " + base::shortened(tensor.name),
                         fmt::format("{} rows", tensor.shape.empty() ? 0 : tensor.shape[0]), fmt::format("{}", rows),
                         "the config belongs to another adapter, or was changed"});
    adapter_.tokens.push_back({name_of_today(module), found->second, tensor.shape[1], floats_of(tensor, file_)});
  }

  void take_matrix(const base::TensorView& tensor, TensorKind kind, std::string module) {
    if (kind == TensorKind::kMagnitude ? tensor.shape.size() != 1 && tensor.shape.size() != 2
                                       : tensor.shape.size() != 2 || tensor.elements() == 0)
      throw base::Error(
          {"an adapter matrix of a wrong shape", file_, base::shortened(tensor.name), "rows and columns", ""});
    const std::string parameter = config_.parameter_of(module), key = parameter.empty() ? module : parameter;
    if (!parameter.empty()) parameters_.insert(parameter);
    if (is_stack(parameter)) module = parameter;  // else a router, of which PEFT adapts the one parameter it has
    const bool follows{config_.tied && is_head(name_of_today(module))};  // the embedding, which the config names
    if (const std::string by = parameter.empty() && !follows ? config_.excluded_by(module) : ""; !by.empty())
      throw base::Error({fmt::format("a tensor of a module that adapter_config.json's \"{}\" leaves out", by), file_,
                         base::shortened(tensor.name), "tensors of the modules that the config chooses",
                         "PEFT would not use it; is the config another adapter's?"});
    const auto [place, is_new] = places_.emplace(module, adapter_.modules.size());
    if (is_new) {
      adapter_.modules.emplace_back().name = name_of_today(module);
      const std::string decides = follows ? adapted_embedding() : key;
      adapter_.modules.back().scale = config_.alpha_of(decides);
      parts_.push_back({false, false, config_.rank_of(decides)});
    }
    AdapterModule& entry = adapter_.modules[place->second];
    Parts& parts = parts_[place->second];
    std::vector<float> values = floats_of(tensor, file_);
    if (kind == TensorKind::kMagnitude) {
      entry.magnitude = std::move(values);
      return;
    }
    const bool is_turned{kind == TensorKind::kEmbeddingA || kind == TensorKind::kEmbeddingB};
    if (is_turned)
      values = transposed(values, static_cast<std::size_t>(tensor.shape[0]), static_cast<std::size_t>(tensor.shape[1]));
    const bool is_a{kind == TensorKind::kA || kind == TensorKind::kEmbeddingB};
    const bool rank_is_first{kind == TensorKind::kA || kind == TensorKind::kEmbeddingA};
    (is_a ? parts.a : parts.b) = true;
    (is_a ? entry.a : entry.b) = std::move(values);
    (is_a ? entry.in : entry.out) = tensor.shape[rank_is_first ? 1 : 0];
    take_rank(tensor, entry, parts, tensor.shape[rank_is_first ? 0 : 1], is_stack(parameter));
  }

  // The embedding in the file's names, "" where it has no LoRA.
  std::string adapted_embedding() const {
    std::string adapter;
    for (const base::TensorView& tensor : reader_.tensors())
      if (const auto [kind, of] = tensor_name(plain_tensor_name(tensor.name, adapter), config_);
          kind == TensorKind::kEmbeddingA)
        return of;
    return "";
  }

  // Of a stack of experts: that of all of them.
  void take_rank(const base::TensorView& tensor, AdapterModule& entry, const Parts& parts, std::int64_t given,
                 bool of_stack) const {
    const double rank{static_cast<double>(given)}, declared{parts.rank};
    const bool is_whole{declared >= 1 && std::fmod(declared, 1) == 0 && std::fmod(rank, declared) == 0};
    if (of_stack ? !is_whole || (entry.rank != 0 && entry.rank != given) : rank != declared)
      throw base::Error({"the rank of a matrix is not the one in adapter_config.json", file_ + ": " + tensor.name,
                         std::to_string(given), fmt::format("{}", declared), ""});
    entry.rank = given;
  }

  void finish_modules() {
    std::vector<AdapterModule> modules;
    for (std::size_t i = 0; i < adapter_.modules.size(); ++i) {
      AdapterModule& module = adapter_.modules[i];
      const Parts& parts = parts_[i];
      if (!parts.a || !parts.b)
        throw base::Error({"one of lora_A and lora_B is missing", file_, module.name, "both", "the file is damaged"});
      check_magnitude(module);
      module.scale /= adapter_.rslora ? std::sqrt(parts.rank) : parts.rank;
      if (!is_stack(module.name)) {
        modules.push_back(std::move(module));
        continue;
      }
      for (AdapterModule& part : split_by_expert(module, static_cast<std::int64_t>(parts.rank)))
        modules.push_back(std::move(part));
    }
    adapter_.modules = std::move(modules);
  }

  void check_magnitude(const AdapterModule& module) const {
    if (adapter_.dora && adapter_.tied && is_embedding(module.name))
      throw base::Error(
          {"DoRA scales columns of an embedding and rows of its head, and \"ensure_weight_tying\" makes "
           "them one: not supported",
           file_, module.name, "one of the two", "merge it with PEFT's merge_and_unload, and give the merged model"});
    const std::int64_t expected{length_of_magnitude(module)};
    if (std::cmp_equal(module.magnitude.size(), adapter_.dora && !is_stack(module.name) ? expected : 0)) return;
    throw base::Error({adapter_.dora ? "adapter_config.json says \"use_dora\", and a module lacks magnitudes"
                                     : "a module has magnitudes, and adapter_config.json does not say \"use_dora\"",
                       file_, module.name, fmt::format("lora_magnitude_vector of {} numbers with use_dora", expected),
                       "the config is another adapter's, or the file is damaged"});
  }

  void check_parameters() const {
    for (const std::string& target : config_.parameters)
      if (std::ranges::none_of(parameters_,
                               [&](const std::string& name) { return ("." + name).ends_with("." + target); }))
        throw base::Error(
            {"adapter_config.json's \"target_parameters\" names a parameter that has no tensor", file_, target,
             "those of experts and routers: mlp.experts.gate_up_proj, mlp.experts.down_proj, mlp.gate.weight",
             "the file is not whole, or the config another's"});
  }

  // A name of other architectures need not be there.
  void check_saved(const std::string& module) const {
    const bool is_known{is_embedding(module) || is_head(module) || module == "embed_tokens"};
    if (is_known && std::ranges::none_of(adapter_.saved, [&](const SavedTensor& tensor) {
          return tensor.is_trained && saves_tensor({module}, tensor.name);
        }))
      throw base::Error({"adapter_config.json's \"modules_to_save\" names a module that has no tensor", file_, module,
                         "the weights of every module named",
                         adapter_.tokens.empty() ? "the file is not whole, or the config another's"
                                                 : "beside trainable_token_indices PEFT writes it under a name that it "
                                                   "cannot load again; merge_and_unload in the run that trained it"});
  }

  // PEFT writes what the head shares with the embedding twice. Where the base does not tie them the two may differ, and
  // both stay.
  void drop_the_tied_head() {
    const auto find = [](auto& list, auto is_it, auto name) {
      return std::ranges::find_if(list, [&](const auto& entry) { return is_it(entry.*name); });
    };
    const auto is_weight_of = [](auto is_it) {
      return [is_it](const std::string& name) {
        return name.ends_with(".weight") && is_it(name.substr(0, name.size() - 7));
      };
    };
    auto& modules = adapter_.modules;
    auto& saved = adapter_.saved;
    const auto embedding = find(modules, is_embedding, &AdapterModule::name);
    const auto head = find(modules, is_head, &AdapterModule::name);
    if (head != modules.end() && embedding != modules.end()) {
      if (head->a != embedding->a || head->b != embedding->b) adapter_.tied = false;
      if (adapter_.tied) modules.erase(head);
    }
    const auto table = find(saved, is_weight_of(is_embedding), &SavedTensor::name);
    const auto other = find(saved, is_weight_of(is_head), &SavedTensor::name);
    if (other == saved.end() || table == saved.end()) return;
    if (other->values != table->values) adapter_.tied = false;
    if (adapter_.tied) saved.erase(other);
  }

  const AdapterConfig& config_;
  base::SafetensorsReader reader_;
  std::string file_;
  Adapter adapter_;
  std::unordered_map<std::string, std::size_t> places_;  // in adapter_.modules, which are in the file's order here
  std::vector<Parts> parts_;
  std::set<std::string> names_, seen_;  // of adapters, of tensors
  std::set<std::string> parameters_;    // that are adapted and are no linear module's
};

}  // namespace

void put_in_order(Adapter& adapter, const std::string& file) {
  put_in_order_of(adapter, names_with(adapter.modules, file));
}

bool leaves_out(const Adapter& adapter, const ModelSpec& base) {
  std::set<std::string> names, suffixes;
  for (const AdapterModule& module : adapter.modules) {
    names.insert(module.name);
    suffixes.insert(suffix_of(module.name));
  }
  return std::ranges::any_of(base.blocks, [&](const BlockSpec& block) {
    return std::ranges::any_of(block.linears, [&](const LinearSpec& linear) {
      return suffixes.contains(suffix_of(linear.name)) && !names.contains(linear.name);
    });
  });
}

Adapter read_adapter(const fs::path& folder) {
  if (base::is_gguf_name(folder)) return read_gguf_adapter(folder);
  if (is_mlx_adapter(folder)) return read_mlx_adapter(folder);
  const AdapterConfig config = read_adapter_config(folder);
  fs::path weights = folder / "adapter_model.safetensors";
  if (!fs::exists(weights))
    throw base::Error({"the adapter has no weights", folder.string(), "", "adapter_model.safetensors",
                       fs::exists(folder / "adapter_model.bin") ? "save it with PEFT's safe_serialization=True" : ""});
  return AdapterReader(config, weights).read();
}

void check_plain(const Adapter& adapter) {
  if (!adapter.gguf_architecture.empty())
    throw base::Error({"a GGUF adapter is right only with the names of a base", adapter.base_model, "",
                       "an adapter made plain with its base model", ""});
  if (adapter.stacked_experts)
    throw base::Error({"an adapter of stacked experts is right only with the names of a base", adapter.base_model, "",
                       "an adapter made plain with its base model", ""});
  if (adapter.start == Start::kNothing) return;
  throw base::Error({fmt::format("a {} adapter is right only against a base without its start", name_of(adapter.start)),
                     adapter.base_model, "", "an adapter made plain with its base model", ""});
}

std::int64_t length_of_magnitude(const AdapterModule& module) {
  return is_embedding(module.name) ? module.in : module.out;
}

std::vector<std::string> beyond_lora(const Adapter& adapter) {
  std::vector<std::string> parts;
  if (adapter.dora) parts.push_back("DoRA");
  if (std::ranges::any_of(adapter.modules, [](const AdapterModule& module) { return is_embedding(module.name); }))
    parts.push_back("LoRA on the embedding");
  if (!adapter.saved.empty()) parts.push_back("whole modules");
  if (!adapter.tokens.empty()) parts.push_back("rows of tokens");
  return parts;
}

}  // namespace lora
