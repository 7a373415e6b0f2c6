// adapter_config.json of PEFT: one table says of every key whether it is computed, harmless or refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace lora {

/// What an adapter's initialisation did to the base model. PiSSA and OLoRA take scale * B0 A0, a part of each weight,
/// out of the base, and the adapter's matrices are right against what is left (see lora/adapter/start.h).
enum class Start { kNothing, kPissa, kOlora };
std::string_view name_of(Start start);  ///< "", "pissa", "olora"

/// What an adapter says of itself as a whole.
struct AdapterSettings {
  std::string base_model;  ///< base_model_name_or_path; "" when null
  std::string revision;    ///< the commit or branch of the base on the hub; "" when null or "main"
  std::int64_t rank = 16;
  double alpha = 32, dropout = 0;
  bool rslora = false;
  bool dora = false;
  bool tied = false;  ///< ensure_weight_tying: what the embedding is given is the head's too, where the base ties them
  /// Other modules of the base may end as those that are adapted: only whole names tell which.
  bool is_partial = false;
  std::string rounded_base{};       ///< "nf4" or "int8": what the base's weights were rounded to while it trained
  Start start = Start::kNothing;    ///< other adapters are right only after plain_adapter (lora/adapter/start.h)
  bool stacked_experts = false;     ///< and so are those whose modules have names of stacks (stacked_experts.h)
  std::string gguf_architecture{};  ///< of one whose modules and rows are a GGUF's (read_gguf_adapter.h); else ""
  bool needs_base() const { return start != Start::kNothing || stacked_experts || !gguf_architecture.empty(); }
};

struct AdapterConfig : AdapterSettings {
  /// A number of the config for a module, rank_pattern and alpha_pattern considered as PEFT's get_pattern_key does: the
  /// first key in file order that matches the end of the module's name decides.
  std::function<double(const std::string&module)> rank_of, alpha_of;
  /// "" when PEFT would attach an adapter to this module; else the key of the config that says no.
  std::function<std::string(const std::string& module)> excluded_by;
  std::vector<std::string> targets;     ///< target_modules where it is a list
  std::vector<std::string> parameters;  ///< target_parameters
  std::vector<std::string> saved;       ///< modules_to_save: a module whose name ends so is trained whole
  /// trainable_token_indices: of a module whose name ends so (the embedding, where only a list stands there), tokens.
  std::map<std::string, std::vector<std::int64_t>> tokens;
  /// The whole name of the parameter that the tensors of a module adapt, "model.layers.0.mlp.experts.up_proj", where
  /// target_parameters names it; "" of a linear module. PEFT puts one parameter around the other: the outer one has the
  /// tensors "...mlp.experts", the inner one "...mlp.experts.base_layer".
  std::function<std::string(const std::string& module)> parameter_of;
};

/// Reads `folder`/adapter_config.json. Throws base::Error naming a key that changes what the adapter computes and that
/// we do not compute, or that is not known at all; such a key may stand there with null, false or something empty.
AdapterConfig read_adapter_config(const std::filesystem::path& folder);
/// The same of keys of LoraConfig that stand elsewhere; `where`, for errors.
AdapterConfig adapter_config_of(const nlohmann::ordered_json& keys, const std::string& where);
/// True where the expression of a pattern is a module's, as PEFT's get_pattern_key has it.
bool pattern_matches(const std::string& expression, const std::string& module);
/// True where one of `names` is the module's or stands behind a point at its end, as PEFT's target_modules has it.
bool names_module(const std::vector<std::string>& names, const std::string& module);
/// True where PEFT's modules_to_save would train `tensor`, "model.norm.weight", with the module that holds it.
bool saves_tensor(const std::vector<std::string>& modules, const std::string& tensor);

}  // namespace lora
