// Models saved before their family came to transformers. Tested by tests/lora/model/earlier_names_test.cc.
#include "lora/model/earlier_names.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <utility>

#include "base/error.h"
#include "lora/model/config_fields.h"

namespace lora {
namespace {

using base::TensorView;
using nlohmann::json;
using Renamed = std::vector<std::pair<const char*, const char*>>;

std::string type_of(const json& config) {
  const auto found = config.find("model_type");
  return found != config.end() && found->is_string() ? found->get<std::string>() : "";
}

bool is_early_falcon(const std::string& type) { return type == "RefinedWeb" || type == "RefinedWebModel"; }
bool is_early_phi(const std::string& type) { return type == "phi-msft" || type == "mixformer-sequential"; }

void rename_keys(json& config, const Renamed& names) {
  for (const auto& [old, name] : names) {
    if (!config.contains(old)) continue;
    if (!config[old].is_null()) config[name] = config[old];
    config.erase(old);
  }
}

json falcon_of_today(json config) {
  config["model_type"] = "falcon";
  config.erase("auto_map");
  config["new_decoder_architecture"] = config.contains("n_head_kv") || config.value("new_decoder_architecture", false);
  rename_keys(config,
              {{"n_head", "num_attention_heads"}, {"n_layer", "num_hidden_layers"}, {"n_head_kv", "num_kv_heads"}});
  return config;
}

json phi_of_today(json config, const std::string& file) {
  config["model_type"] = "phi";
  config.erase("auto_map");
  rename_keys(config, {{"n_embd", "hidden_size"},
                       {"n_head", "num_attention_heads"},
                       {"n_head_kv", "num_key_value_heads"},
                       {"n_inner", "intermediate_size"},
                       {"n_layer", "num_hidden_layers"},
                       {"n_positions", "max_position_embeddings"},
                       {"activation_function", "hidden_act"},
                       {"layer_norm_epsilon", "layer_norm_eps"}});
  const Fields fields(config, file);
  const std::int64_t hidden{fields.size("hidden_size", 2048)}, heads{fields.size("num_attention_heads", 32)};
  if (!config.contains("intermediate_size")) config["intermediate_size"] = 4 * hidden;
  if (config.contains("rotary_dim")) {
    const std::int64_t turned{fields.size("rotary_dim", 32)}, head{hidden / heads};
    if (turned > head) fields.wrong("rotary_dim", fmt::format("at most {}, the size of a head", head));
    config["partial_rotary_factor"] = static_cast<double>(turned) / static_cast<double>(head);
    config.erase("rotary_dim");
  }
  // Of MixFormer: which of its parts the model is made of. Phi is made of these.
  const json parts = fields.object("architecture");
  if (!parts.empty() &&
      parts != json{{"block_cls", "parallel"}, {"mixer", json::object()}, {"mlp", {{"mlp_cls", "mlp"}}}})
    fields.wrong("architecture", "Phi's: parallel blocks, a plain mixer, mlp");
  if (fields.text("embd_layer", "default") != "default") fields.wrong("embd_layer", "default");
  for (const char* key : {"architecture", "embd_layer", "flash_attn", "flash_rotary", "fused_dense", "phyagi_version",
                          "attn_pdrop", "vocab_size_multiple"})
    config.erase(key);
  return config;
}

// "transformer.h.3.mixer.out_proj.weight" and MixFormer's "layers.4.mixer.out_proj.weight", whose layer 0 is the
// embedding and whose last one is the head.
std::string phi_name(const std::string& name, std::int64_t layers) {
  static const re2::RE2 kBlock(R"(transformer\.h\.(\d+)\.(.*))"), kSequential(R"(layers\.(\d+)\.(.*))");
  std::int64_t number = 0;
  std::string rest = name;
  if (re2::RE2::FullMatch(name, kSequential, &number, &rest)) {
    if (number == 0) rest = "transformer.embd." + rest;
    if (number == layers + 1) rest = "lm_head." + rest;
    --number;
  } else if (!re2::RE2::FullMatch(name, kBlock, &number, &rest)) {
    number = -1;
  }
  for (const auto& [old, today] : Renamed{{"transformer.embd.wte.", "model.embed_tokens."},
                                          {"lm_head.linear.", "lm_head."},
                                          {"lm_head.ln.", "model.final_layernorm."}})
    if (rest.starts_with(old)) return today + rest.substr(std::char_traits<char>::length(old));
  if (number < 0 || number >= layers) return name;
  for (const auto& [old, today] :
       Renamed{{"ln.", "input_layernorm."}, {"mixer.out_proj.", "self_attn.dense."}, {"mixer.", "self_attn."}})
    if (rest.starts_with(old)) {
      rest = today + rest.substr(std::char_traits<char>::length(old));
      break;
    }
  return fmt::format("model.layers.{}.{}", number, rest);
}

// Rows q | k | v of heads of one size.
void add_thirds(std::vector<TensorView>& tensors, const TensorView& joined, std::size_t place, std::int64_t heads,
                std::int64_t key_heads) {
  const std::int64_t all{heads + 2 * key_heads};
  if (joined.shape.empty() || joined.shape[0] % all != 0) return void(tensors.push_back(joined));
  const std::size_t row{joined.bytes.size() / static_cast<std::size_t>(joined.shape[0])};
  std::int64_t first = 0;
  for (const auto& [part, count] : {std::pair{"q_proj", heads}, {"k_proj", key_heads}, {"v_proj", key_heads}}) {
    TensorView view = joined;
    view.name.replace(place, 4, part);
    view.shape[0] = joined.shape[0] / all * count;
    view.bytes =
        joined.bytes.subspan(static_cast<std::size_t>(first) * row, static_cast<std::size_t>(view.shape[0]) * row);
    first += view.shape[0];
    tensors.push_back(std::move(view));
  }
}

}  // namespace

json with_keys_of_today(json config, const std::string& file) {
  const std::string type = type_of(config);
  if (is_early_falcon(type)) return falcon_of_today(std::move(config));
  if (is_early_phi(type)) return phi_of_today(std::move(config), file);
  return config;
}

std::vector<TensorView> with_names_of_today(const json& config, const std::vector<TensorView>& tensors) {
  if (!is_early_phi(type_of(config))) return tensors;
  const json today = with_keys_of_today(config, "");
  const Fields fields(today, "");
  const std::int64_t heads{fields.size("num_attention_heads", 32)};
  std::vector<TensorView> renamed;
  for (TensorView view : tensors) {
    view.name = phi_name(view.name, fields.size("num_hidden_layers", 24));
    const std::size_t joined{view.name.find("Wqkv")};
    if (joined == std::string::npos)
      renamed.push_back(std::move(view));
    else
      add_thirds(renamed, view, joined, heads, fields.size("num_key_value_heads", heads));
  }
  return renamed;
}

}  // namespace lora
