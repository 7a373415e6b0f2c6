// adapter_config.json of PEFT: one table says of every key whether it is computed, harmless or refused. Tested by
// tests/lora/adapter/adapter_test.cc.
#include "lora/adapter/adapter_config.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fault.h"
#include "base/text.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::int64_t kMostRank = 1 << 16;
constexpr const char* kMergeFirst = "merge it with PEFT's merge_and_unload, and give the merged model";

// Every key that PEFT's LoraConfig has had from 0.2 to 0.21, and those that ms-swift adds. `refused` is empty for keys
// that read_adapter_config computes (all named there) and for keys that say nothing about the weights.
struct Key {
  const char* name;
  const char* refused = "";  // why
};
constexpr Key kKeys[] = {
    // Computed, or compared with the tensors.
    {"base_model_name_or_path"},
    {"revision"},
    {"peft_type"},
    {"task_type"},
    {"r"},
    {"lora_alpha"},
    {"lora_dropout"},
    {"use_rslora"},
    {"rank_pattern"},
    {"alpha_pattern"},
    {"init_lora_weights"},
    {"bias"},
    {"target_modules"},
    {"exclude_modules"},
    {"layers_to_transform"},
    {"layers_pattern"},
    {"target_parameters"},
    {"use_dora"},
    {"modules_to_save"},
    {"trainable_token_indices"},
    {"ensure_weight_tying"},
    // How it was made or is loaded; nothing that W + scale B A depends on.
    {"auto_mapping"},
    {"inference_mode"},
    {"peft_version"},
    {"runtime_config"},
    {"merge_weights"},
    {"megatron_core"},      // only with megatron_config
    {"qalora_group_size"},  // only with use_qalora
    {"eva_config"},         // these four only with the init_lora_weights of their name
    {"corda_config"},
    {"lora_ga_config"},
    {"loftq_config"},
    {"lora_dtype"},      // ms-swift: the type it trained in
    {"lorap_lr_ratio"},  // ms-swift: learning rates
    {"lorap_emb_lr"},
    // Refused.
    {"use_qalora", "QA-LoRA pools the inputs"},
    {"use_bdlora", "BD-LoRA has block-diagonal matrices"},
    {"lora_bias", "B has a bias"},
    {"fan_in_fan_out", "the weights are stored the other way round"},
    {"enable_lora", "one matrix holds several modules"},
    {"layer_replication", "layers of the base are repeated"},
    {"alora_invocation_tokens", "an activated LoRA works only after its invocation tokens; it cannot be merged"},
    {"arrow_config", "a router chooses among several adapters"},
    {"megatron_config", "the matrices are shards of Megatron's parallel layers"},
    {"velora_config", "VeLoRA adapters carry a tensor of their own"},
    {"monteclora_config", "the weights are sampled"},
    {"kasa_config", "KaSA drops a part of the base and puts a diagonal between B and A"},
};

std::string text_of(const ordered_json& value) {
  return base::shortened(value.dump(-1, ' ', true, ordered_json::error_handler_t::replace));
}

bool is_unused(const ordered_json& value) {
  return value.is_null() || value == false || value == "" || (value.is_structured() && value.empty());
}

// "a_key": what it means, refused.
[[noreturn]] void refuse(const std::string& key, const ordered_json& value, const std::string& file,
                         const std::string& why, const std::string& advice = kMergeFirst) {
  throw base::Error({fmt::format("the adapter uses \"{}\", which is not supported: {}", key, why), file, text_of(value),
                     "a plain LoRA of linear modules", advice});
}

void check_keys(const ordered_json& config, const std::string& file) {
  for (const auto& [key, value] : config.items()) {
    if (is_unused(value)) continue;
    const auto* known =
        std::find_if(std::begin(kKeys), std::end(kKeys), [&key = key](const Key& k) { return k.name == key; });
    if (known == std::end(kKeys))
      throw base::Error(
          {fmt::format("adapter_config.json has a key that is not known here: \"{}\"", base::shortened(key)), file,
           text_of(value), "null, or a key of PEFT's LoraConfig",
           fmt::format("it may change what the adapter computes; {}; or, if it does not, remove the key",
                       kMergeFirst)});
    if (*known->refused) refuse(key, value, file, known->refused);
  }
}

// Typed access; null and absent give the fallback.
class Keys {
 public:
  Keys(const ordered_json& config, const std::string& file) : config_(config), file_(file) {}
  const ordered_json* find(const char* key) const {
    auto found = config_.find(key);
    return found == config_.end() || found->is_null() ? nullptr : &*found;
  }
  std::string text(const char* key) const {
    const ordered_json* value = find(key);
    if (value && !value->is_string()) wrong(key, "text");
    return value ? value->get<std::string>() : "";
  }
  bool truth(const char* key) const {
    const ordered_json* value = find(key);
    if (value && !value->is_boolean()) wrong(key, "true or false");
    return value && value->get<bool>();
  }
  // Unlike elsewhere, null is wrong: PEFT cannot compute with it.
  double number(const char* key, double fallback) const {
    auto found = config_.find(key);
    if (found == config_.end()) return fallback;
    if (!found->is_number() || !std::isfinite(found->get<double>())) wrong(key, "a number");
    return found->get<double>();
  }
  [[noreturn]] void wrong(const char* key, const std::string& expected, const std::string& advice = "") const {
    auto found = config_.find(key);
    throw base::Error({fmt::format("bad \"{}\" in adapter_config.json", key), file_,
                       found == config_.end() ? "" : text_of(*found), expected, advice});
  }
  const std::string& file() const { return file_; }

 private:
  const ordered_json& config_;
  const std::string& file_;
};

std::shared_ptr<RE2> compiled(const std::string& pattern) {
  RE2::Options options;
  options.set_log_errors(false);
  return std::make_shared<RE2>(pattern, options);
}

// rank_pattern or alpha_pattern.
std::function<double(const std::string&)> patterns(const Keys& keys, const char* key, double otherwise) {
  std::vector<std::pair<std::shared_ptr<RE2>, double>> lines;
  if (const ordered_json* object = keys.find(key)) {
    if (!object->is_object()) keys.wrong(key, "an object");
    for (const auto& [pattern, value] : object->items()) {
      if (!value.is_number()) keys.wrong(key, "a number for every expression");
      lines.emplace_back(compiled("(?:.*\\.)?(?:" + pattern + ")"), value.get<double>());
      if (!lines.back().first->ok())
        throw base::Error({fmt::format("an expression of \"{}\" cannot be used", key), keys.file(),
                           base::shortened(pattern), "a regular expression without look-around", ""});
    }
  }
  return [lines, otherwise](const std::string& module) {
    for (const auto& [pattern, value] : lines)
      if (RE2::FullMatch(module, *pattern)) return value;
    return otherwise;
  };
}

// target_modules or exclude_modules: an expression for the whole name, or names of which a module's name ends in one.
// Nothing where the key is not used, and for expressions with look-around, which RE2 does not know: what they choose is
// then seen only in the tensors.
std::optional<std::function<bool(const std::string&)>> name_test(const Keys& keys, const char* key) {
  const ordered_json* value = keys.find(key);
  if (!value || (value->is_structured() && value->empty())) return std::nullopt;
  if (value->is_string() && *value == "all-linear") return [](const std::string&) { return true; };
  if (value->is_string()) {
    auto pattern = compiled(value->get<std::string>());
    if (!pattern->ok()) return std::nullopt;
    return [pattern](const std::string& module) { return RE2::FullMatch(module, *pattern); };
  }
  if (!value->is_array() || !std::all_of(value->begin(), value->end(), [](const auto& v) { return v.is_string(); }))
    keys.wrong(key, "names of modules, or one expression");
  auto names = value->get<std::vector<std::string>>();
  return [names](const std::string& module) { return names_module(names, module); };
}

std::optional<std::set<std::int64_t>> layers_of(const Keys& keys) {
  const ordered_json* value = keys.find("layers_to_transform");
  if (!value || (value->is_array() && value->empty())) return std::nullopt;
  if (value->is_number_integer()) return std::set<std::int64_t>{value->get<std::int64_t>()};
  if (!value->is_array() ||
      !std::all_of(value->begin(), value->end(), [](const auto& v) { return v.is_number_integer(); }))
    keys.wrong("layers_to_transform", "whole numbers");
  return value->get<std::set<std::int64_t>>();
}

// Expressions of which the first that matches a name has its layer: the first number of the name, an expert's not.
std::vector<std::shared_ptr<RE2>> layer_expressions(const Keys& keys) {
  const ordered_json* value = keys.find("layers_pattern");
  if (!value || value->empty() || *value == "") return {compiled(".*?\\.[^.]*\\.(\\d+)\\..*")};
  std::vector<std::shared_ptr<RE2>> expressions;
  for (const ordered_json& pattern : value->is_array() ? *value : ordered_json::array({*value})) {
    if (!pattern.is_string()) keys.wrong("layers_pattern", "a text, or a list of them");
    expressions.push_back(compiled("(?:^|.*?\\.)(?:" + pattern.get<std::string>() + ")\\.(\\d+)\\..*"));
    if (!expressions.back()->ok() || expressions.back()->NumberOfCapturingGroups() != 1)
      keys.wrong("layers_pattern", "regular expressions without look-around and groups");
  }
  return expressions;
}

std::optional<std::int64_t> layer_of(const std::string& module, const std::vector<std::shared_ptr<RE2>>& expressions) {
  std::int64_t layer = 0;
  for (const auto& expression : expressions)
    if (RE2::FullMatch(module, *expression, &layer)) return layer;
  return std::nullopt;
}

// As PEFT 0.21 decides: a whole name among the targets is chosen whatever its layer.
std::function<std::string(const std::string&)> exclusion(const Keys& keys) {
  std::set<std::string> whole_names;
  if (const ordered_json* targets = keys.find("target_modules"); targets && targets->is_array())
    for (const ordered_json& name : *targets)
      if (name.is_string()) whole_names.insert(name.get<std::string>());
  return [whole_names, targets = name_test(keys, "target_modules"), excluded = name_test(keys, "exclude_modules"),
          layers = layers_of(keys), expressions = layer_expressions(keys)](const std::string& module) -> std::string {
    if (targets && !(*targets)(module)) return "target_modules";
    if (excluded && (*excluded)(module)) return "exclude_modules";
    if (!layers || whole_names.contains(module)) return "";
    const std::optional<std::int64_t> layer = layer_of(module, expressions);
    if (!layer) return "layers_pattern";
    return layers->contains(*layer) ? "" : "layers_to_transform";
  };
}

// Whether names alone, without numbers of layers or experts, choose the modules.
bool chooses_by_suffix(const Keys& keys) {
  for (const char* key : {"layers_to_transform", "exclude_modules"})
    if (const ordered_json* value = keys.find(key); value && !(value->is_structured() && value->empty())) return false;
  const ordered_json* targets = keys.find("target_modules");
  if (!targets || !targets->is_array()) return !targets || *targets == "all-linear";
  return std::ranges::none_of(*targets, [](const ordered_json& name) {
    return RE2::PartialMatch(name.get<std::string>(), "(?:^|\\.)\\d+\\.");
  });
}

std::vector<std::string> names_at(const Keys& keys, const char* key, const char* expected) {
  const ordered_json* value = keys.find(key);
  if (!value) return {};
  if (!value->is_array() || !std::all_of(value->begin(), value->end(), [](const auto& v) { return v.is_string(); }))
    keys.wrong(key, expected);
  return value->get<std::vector<std::string>>();
}

// A list is the embedding's, which transformers' decoders call "embed_tokens" or "wte"; "" stands for it.
std::map<std::string, std::vector<std::int64_t>> token_indices(const Keys& keys) {
  constexpr const char* kKey = "trainable_token_indices";
  const ordered_json* value = keys.find(kKey);
  if (!value || value->empty()) return {};
  const ordered_json object = value->is_array() ? ordered_json{{"", *value}} : *value;
  const auto is_list = [](const ordered_json& list) {
    return list.is_array() && std::all_of(list.begin(), list.end(), [](const auto& v) {
             return v.is_number_integer() && v.template get<std::int64_t>() >= 0;
           });
  };
  std::map<std::string, std::vector<std::int64_t>> tokens;
  if (!object.is_object()) keys.wrong(kKey, "numbers of tokens, or such a list for each module");
  for (const auto& [module, list] : object.items()) {
    if (!is_list(list)) keys.wrong(kKey, "numbers of tokens, or such a list for each module");
    tokens[module] = list.get<std::vector<std::int64_t>>();
    const std::set<std::int64_t> different(tokens[module].begin(), tokens[module].end());
    if (different.size() != tokens[module].size()) keys.wrong(kKey, "each token once");
  }
  return tokens;
}

// PEFT puts the parameters of a module around each other in the order in which transformers' classes of experts
// register them; of a router it adapts the one that it has.
std::function<std::string(const std::string&)> parameter_test(const std::vector<std::string>& targets) {
  return [targets](std::string module) -> std::string {
    constexpr std::string_view kInner = ".base_layer";
    std::size_t depth = 0;
    for (; module.ends_with(kInner); ++depth) module.resize(module.size() - kInner.size());
    using Names = std::vector<const char*>;
    std::vector<std::string> adapted;  // the innermost first
    for (const char* parameter : module.ends_with(".experts") ? Names{"gate_up_proj", "down_proj"} : Names{"weight"}) {
      const std::string name = module + "." + parameter;
      const auto names_it = [&](const std::string& target) { return name == target || name.ends_with("." + target); };
      if (std::ranges::any_of(targets, names_it)) adapted.push_back(name);
    }
    return depth < adapted.size() ? adapted[adapted.size() - 1 - depth] : "";
  };
}

// As LoraLayer.update_layer of PEFT 0.21 takes init_lora_weights. What is refused changed the base in a way that the
// adapter's files do not tell.
Start start_of(const Keys& keys) {
  constexpr const char* kKey = "init_lora_weights";
  const ordered_json* value = keys.find(kKey);
  if (!value || value->is_boolean()) return Start::kNothing;
  if (!value->is_string()) keys.wrong(kKey, "true, false or a name");
  const std::string name = value->get<std::string>();
  if (name == "pissa") return Start::kPissa;
  if (base::ascii_lower(name) == "olora") return Start::kOlora;
  // EVA, orthogonal and MiCA choose A or B, so that B A is zero; the base stays.
  for (const char* harmless : {"gaussian", "eva", "orthogonal", "mica"})
    if (base::ascii_lower(name) == harmless) return Start::kNothing;
  const std::string convert =
      "where it was trained, save it as a plain LoRA: model.save_pretrained(FOLDER, "
      "path_initial_model_for_weight_conversion=START), START being the adapter saved before training; or save the "
      "merged model";
  if (name.starts_with("pissa"))
    refuse(kKey, *value, keys.file(), "a randomised SVD took a part out of the base that nobody can compute again",
           convert);
  if (name.starts_with("corda"))
    refuse(kKey, *value, keys.file(), "CorDA took a part out of the base that depends on its sample of data", convert);
  if (name == "lora_ga" || name == "lora-ga")
    refuse(kKey, *value, keys.file(), "LoRA-GA took a part out of the base that depends on its gradients", convert);
  if (name == "loftq")
    refuse(kKey, *value, keys.file(), "LoftQ put a quantised base in place of the one that is named",
           "save the changed base where it was trained, set \"init_lora_weights\" to true, and give that base");
  refuse(kKey, *value, keys.file(), "this initialisation is not known here, and may have changed the base", convert);
}

}  // namespace

std::string_view name_of(Start start) {
  return start == Start::kPissa ? "pissa" : start == Start::kOlora ? "olora" : "";
}

bool pattern_matches(const std::string& expression, const std::string& module) {
  return RE2::FullMatch(module, *compiled("(?:.*\\.)?(?:" + expression + ")"));
}

bool names_module(const std::vector<std::string>& names, const std::string& module) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return module == name || module.ends_with("." + name); });
}

bool saves_tensor(const std::vector<std::string>& modules, const std::string& tensor) {
  for (std::size_t end = tensor.rfind('.'); end != std::string::npos && end > 0; end = tensor.rfind('.', end - 1))
    for (const std::string& module : modules)
      if (!module.empty() && std::string_view(tensor).substr(0, end).ends_with(module)) return true;
  return false;
}

AdapterConfig read_adapter_config(const fs::path& folder) {
  const std::string file = (folder / "adapter_config.json").string();
  if (!fs::exists(file))
    throw base::Error({"not an adapter", folder.string(), "", "a folder with adapter_config.json",
                       "finetune train writes one to RUN/adapter"});
  const std::string text = base::read_file(file);
  const ordered_json json = ordered_json::parse(text, nullptr, false);
  if (!json.is_object())
    throw base::no_json_object(text, file, "the file is damaged or cut off: fetch or export the adapter again");
  const Keys keys(json, file);
  if (keys.text("peft_type") != "LORA")
    throw base::Error({"not a LoRA adapter", file, base::shortened(keys.text("peft_type")), "peft_type \"LORA\"", ""});
  check_keys(json, file);
  if (const std::string bias = keys.text("bias"); !bias.empty() && bias != "none")
    refuse("bias", bias, file, "biases of the base were trained beside the LoRA");
  if (const std::string task = keys.text("task_type"); !task.empty() && task != "CAUSAL_LM")
    refuse("task_type", task, file, "an adapter of another kind of model than a language model that writes");
  return adapter_config_of(json, file);
}

AdapterConfig adapter_config_of(const ordered_json& json, const std::string& file) {
  const Keys keys(json, file);
  AdapterConfig config;
  config.base_model = keys.text("base_model_name_or_path");
  config.revision = keys.text("revision");
  if (config.revision == "main") config.revision.clear();
  const double rank = keys.number("r", 8);
  if (!(rank >= 1 && rank <= kMostRank) || rank != std::floor(rank)) keys.wrong("r", "an integer from 1 to 65536");
  config.rank = static_cast<std::int64_t>(rank);
  config.alpha = keys.number("lora_alpha", 8);
  config.dropout = keys.number("lora_dropout", 0);
  config.rslora = keys.truth("use_rslora");
  config.start = start_of(keys);
  config.rank_of = patterns(keys, "rank_pattern", rank);
  config.alpha_of = patterns(keys, "alpha_pattern", config.alpha);
  config.excluded_by = exclusion(keys);
  config.dora = keys.truth("use_dora");
  config.tied = keys.truth("ensure_weight_tying");
  config.saved = names_at(keys, "modules_to_save", "names of modules");
  config.tokens = token_indices(keys);
  config.parameters = names_at(keys, "target_parameters", "names of parameters");
  config.parameter_of = parameter_test(config.parameters);
  config.stacked_experts = !config.parameters.empty();
  if (config.stacked_experts && config.start != Start::kNothing)
    refuse("target_parameters", config.parameters, file, "PEFT has no other start for parameters than B = 0");
  config.is_partial = !chooses_by_suffix(keys);
  if (const ordered_json* targets = keys.find("target_modules"); targets && targets->is_array())
    config.targets = targets->get<std::vector<std::string>>();
  return config;
}

}  // namespace lora
