#include "lora/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numbers>

#include "base/error.h"
#include "base/text.h"

namespace lora {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostSize = std::int64_t{1} << 31;  // of any dimension; keeps every product within 64 bits
constexpr std::int64_t kMostLayers = 10'000;

// Typed access to the keys of a config.json; a key that is absent or null takes the fallback.
class Fields {
 public:
  Fields(const json& object, std::string file) : object_(object), file_(std::move(file)) {}

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  std::int64_t integer(const char* key, std::int64_t fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_number_integer()) wrong(key, "an integer");
    return object_[key].get<std::int64_t>();
  }
  std::int64_t size(const char* key, std::int64_t fallback = 0) const {
    std::int64_t value = integer(key, fallback);
    if (value < 1 || value > kMostSize) wrong(key, "an integer from 1 to 2^31");
    return value;
  }
  double number(const char* key, double fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_number()) wrong(key, "a number");
    return object_[key].get<double>();
  }
  bool truth(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_boolean()) wrong(key, "true or false");
    return object_[key].get<bool>();
  }
  std::string text(const char* key, const std::string& fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_string()) wrong(key, "text");
    return object_[key].get<std::string>();
  }
  // An object, or an empty one when absent.
  json object(const char* key) const {
    if (!has(key)) return json::object();
    if (!object_[key].is_object()) wrong(key, "an object");
    return object_[key];
  }
  // A token id; the first one of a list. -1 when null.
  std::int64_t token(const char* key, std::int64_t fallback) const {
    if (!object_.contains(key)) return fallback;
    const json& value = object_[key];
    if (value.is_null()) return -1;
    if (value.is_array() && !value.empty() && value[0].is_number_integer()) return value[0].get<std::int64_t>();
    return integer(key, fallback);
  }
  [[noreturn]] void wrong(const char* key, const std::string& expected, const std::string& advice = "") const {
    std::string value = object_.contains(key) ? object_[key].dump(-1, ' ', true, json::error_handler_t::replace) : "";
    throw base::Error({fmt::format("config.json: bad \"{}\"", key), file_, base::shortened(value), expected, advice});
  }

 private:
  const json& object_;
  std::string file_;
};

// transformers 4 has rope_theta and rope_scaling at the top, transformers 5 one object rope_parameters. Where both
// stand, transformers 5 takes rope_scaling first; so do we.
void read_rope(const Fields& fields, const std::string& file, ModelConfig& config) {
  json object = fields.object("rope_scaling");
  if (object.empty()) object = fields.object("rope_parameters");
  Fields rope(object, file);
  config.rope_theta = rope.number("rope_theta", fields.number("rope_theta", 10000));
  double partial = rope.number("partial_rotary_factor", fields.number("partial_rotary_factor", 1));
  if (partial != 1) fields.wrong("partial_rotary_factor", "1: only whole heads are rotated");
  RopeScaling& scaling = config.rope_scaling;
  scaling.type = rope.text("rope_type", rope.text("type", "default"));
  if (scaling.type == "default") {
    scaling = RopeScaling();
  } else if (scaling.type == "linear") {
    scaling.factor = rope.number("factor", 1);
  } else if (scaling.type == "llama3") {
    scaling.factor = rope.number("factor", 8);
    scaling.low_freq_factor = rope.number("low_freq_factor", 1);
    scaling.high_freq_factor = rope.number("high_freq_factor", 4);
    // A value at the top wins over the one beside the factors, as in transformers 5.
    scaling.original_context = fields.integer("original_max_position_embeddings",
                                              rope.integer("original_max_position_embeddings", config.context_length));
  } else {
    fields.wrong(object == fields.object("rope_scaling") ? "rope_scaling" : "rope_parameters",
                 "rope_type \"default\", \"linear\" or \"llama3\"",
                 "models with this rotary embedding are not supported");
  }
}

// What both sources must hold. `file` for the error.
void check(const ModelConfig& config, const std::string& file) {
  auto fail = [&](const std::string& what, const std::string& value, const std::string& expected) {
    throw base::Error({what, file, value, expected, ""});
  };
  for (std::int64_t size : {config.vocab_size, config.hidden_size, config.intermediate_size, config.layers,
                            config.heads, config.kv_heads, config.head_dim, config.context_length})
    if (size < 1 || size > kMostSize) fail("impossible size in the model's config", std::to_string(size), "1 to 2^31");
  if (config.layers > kMostLayers) fail("too many layers", std::to_string(config.layers), "at most 10000");
  if (config.heads % config.kv_heads != 0)
    fail("attention heads do not share key heads evenly",
         fmt::format("{} heads, {} key heads", config.heads, config.kv_heads), "a multiple");
  if (config.head_dim % 2 != 0) fail("odd head size", std::to_string(config.head_dim), "an even size");
  if (config.heads > kMostSize / config.head_dim) fail("impossible number of heads", std::to_string(config.heads), "");
  if (!(config.rope_theta > 0) || !std::isfinite(config.rope_theta))
    fail("impossible rope_theta", fmt::format("{}", config.rope_theta), "above 0");
  if (!(config.rms_norm_eps >= 0) || !std::isfinite(config.rms_norm_eps))
    fail("impossible rms_norm_eps", fmt::format("{}", config.rms_norm_eps), "0 or more");
  const RopeScaling& scaling = config.rope_scaling;
  if (!(scaling.factor > 0) || !(scaling.low_freq_factor > 0) ||
      !(scaling.high_freq_factor > scaling.low_freq_factor) || scaling.original_context < 1)
    fail("impossible rope scaling", fmt::format("factor {}", scaling.factor), "positive factors, low below high");
}

// GGUF stores these as float32; the shortest decimal of that float is what config.json had (1e-05, not 9.9999997e-06).
double shortest(double value) { return std::strtod(fmt::format("{}", static_cast<float>(value)).c_str(), nullptr); }

// A GGUF holds llama3 rope as one factor per pair of dimensions. Finds the settings that give these factors.
RopeScaling scaling_from_factors(const base::GgufReader& file, const base::TensorView& tensor,
                                 const ModelConfig& config) {
  std::string where = file.path().string() + ": " + tensor.name;
  if (tensor.shape != std::vector<std::int64_t>{config.head_dim / 2})
    throw base::Error({"rope factors of the wrong shape", where, "", fmt::format("[{}]", config.head_dim / 2), ""});
  std::vector<float> factors(static_cast<std::size_t>(config.head_dim / 2));
  base::to_float(tensor.type, tensor.bytes, factors);
  RopeScaling scaling;
  scaling.type = "llama3";
  scaling.factor = factors.back();  // the longest wave is always stretched by the whole factor
  // Llama 3.x all have low 1, high 4, 8192; the rest is for models made in the same way.
  for (double low : {1.0, 2.0, 0.5})
    for (double high : {4.0, 8.0, 2.0, 16.0})
      for (std::int64_t context = 64; context <= 1 << 22; context *= 2) {
        scaling.low_freq_factor = low;
        scaling.high_freq_factor = high;
        scaling.original_context = context == 64 ? 8192 : context / 2;
        if (high <= low) continue;
        std::vector<float> candidate = rope_factors(config, scaling);
        bool equal = true;
        for (std::size_t i = 0; i < factors.size() && equal; ++i)
          equal = std::fabs(candidate[i] - factors[i]) <= 1e-5f * std::fabs(factors[i]);
        if (equal) return scaling;
      }
  throw base::Error({"rope factors that no llama3 setting gives", where, "", "",
                     "models with this rotary embedding are not supported"});
}

}  // namespace

std::vector<float> rope_factors(const ModelConfig& config, const RopeScaling& scaling) {
  std::vector<float> factors;
  auto context = static_cast<double>(scaling.original_context);
  for (std::int64_t i = 0; i < config.head_dim; i += 2) {
    double frequency = 1 / std::pow(config.rope_theta, static_cast<double>(i) / static_cast<double>(config.head_dim));
    double wave = 2 * std::numbers::pi / frequency;
    double factor = 1;
    if (wave > context / scaling.low_freq_factor) {
      factor = scaling.factor;
    } else if (wave >= context / scaling.high_freq_factor) {
      double smooth = (context / wave - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
      factor = 1 / ((1 - smooth) / scaling.factor + smooth);
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

std::string unquantised_name(const std::string& model) {
  std::string name = model;
  for (bool again = true; again;) {
    again = false;
    for (const char* ending :
         {"-bnb-4bit", "-bnb-8bit", "-unsloth", "-bnb",  "-4bit", "-8bit", "-int4",        "-int8",
          "-w4a16",    "-w8a8",     "-w8a16",   "-gptq", "-awq",  "-fp8",  "-fp8-dynamic", "-dynamic",
          "-hqq",      "-eetq",     "-aqlm",    "-exl2", "-nf4",  "-fp4",  "-nvfp4",       "-mxfp4"}) {
      const std::size_t length = std::char_traits<char>::length(ending);
      if (name.size() <= length ||
          !std::equal(ending, ending + length, name.end() - static_cast<std::ptrdiff_t>(length),
                      [](char left, char right) { return left == std::tolower(right); }))
        continue;
      name.resize(name.size() - length);
      again = true;
    }
  }
  return name;
}

ModelConfig config_from_json(const std::string& config_json, const std::string& file) {
  json object = json::parse(config_json, nullptr, false);
  if (!object.is_object()) throw base::Error({"config.json is not a JSON object", file, "", "", ""});
  Fields fields(object, file);
  ModelConfig config;
  config.architecture = fields.text("model_type", "");
  bool is_mistral = config.architecture == "mistral";
  if (config.architecture != "llama" && !is_mistral)
    fields.wrong("model_type", "\"llama\" or \"mistral\"", "models of other families are not supported");
  for (const char* key : {"quantization_config", "compression_config"})
    if (fields.has(key))
      fields.wrong(key, "none: weights in float32, bfloat16 or float16",
                   "give the model that this quantised copy was made from, or a GGUF of it, with --base (finetune: "
                   "--model)");
  // transformers may run that code instead of its own Llama.
  if (fields.has("auto_map") && object["auto_map"].contains("AutoModelForCausalLM"))
    fields.wrong("auto_map", "no code of its own for AutoModelForCausalLM",
                 "if transformers gives the right answers without trust_remote_code, remove the key from config.json");
  config.vocab_size = fields.size("vocab_size", 32000);
  config.hidden_size = fields.size("hidden_size");
  config.intermediate_size = fields.size("intermediate_size");
  config.layers = fields.size("num_hidden_layers");
  config.heads = fields.size("num_attention_heads");
  config.kv_heads = fields.size("num_key_value_heads", is_mistral ? 8 : config.heads);
  config.head_dim = fields.size("head_dim", std::max<std::int64_t>(1, config.hidden_size / config.heads));
  config.context_length = fields.size("max_position_embeddings", is_mistral ? 131072 : 2048);
  config.rms_norm_eps = fields.number("rms_norm_eps", 1e-6);
  std::string activation = fields.text("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") fields.wrong("hidden_act", "\"silu\"");
  // transformers' MistralConfig has a window of 4096 unless the file says null. A window as long as the context
  // never cuts anything off.
  if (is_mistral) {
    std::int64_t window = !object.contains("sliding_window") ? 4096 : fields.integer("sliding_window", 0);
    if (window != 0 && window < config.context_length)
      fields.wrong(
          "sliding_window", "null",
          "sliding-window attention is not supported; with texts below the window, set max_position_embeddings "
          "to it in a copy of the model");
  } else {
    config.attention_bias = fields.truth("attention_bias", false);
    config.mlp_bias = fields.truth("mlp_bias", false);
  }
  read_rope(fields, file, config);
  config.tied_embeddings = fields.truth("tie_word_embeddings", false);
  config.bos = fields.token("bos_token_id", 1);
  config.eos = fields.token("eos_token_id", 2);
  config.pad = fields.token("pad_token_id", -1);
  check(config, file);
  return config;
}

ModelConfig config_from_gguf(const base::GgufReader& file) {
  std::string where = file.path().string();
  const std::string& architecture = file.text("general.architecture");
  if (architecture != "llama")
    throw base::Error({"model architecture not supported", where, base::shortened(architecture), "llama",
                       "Llama, Mistral and SmolLM models have it"});
  auto integer = [&](const char* key, std::int64_t fallback) { return file.find(key) ? file.integer(key) : fallback; };
  auto number = [&](const char* key, double fallback) {
    return file.find(key) ? shortest(file.number(key)) : fallback;
  };
  auto refuse_unless = [&](bool right, const char* key, const char* expected) {
    if (!right) throw base::Error({fmt::format("metadata '{}' is not supported", key), where, "", expected, ""});
  };
  auto shape = [&](const char* tensor) {
    const base::TensorView* view = file.tensor(tensor);
    if (!view || view->shape.size() != 2) throw base::Error({"missing tensor", where, tensor, "a matrix", ""});
    return view->shape;
  };
  ModelConfig config;
  config.layers = file.integer("llama.block_count");
  config.hidden_size = file.integer("llama.embedding_length");
  config.vocab_size = integer("llama.vocab_size", shape("token_embd.weight")[0]);
  config.context_length = integer("llama.context_length", 2048);
  config.intermediate_size = file.integer("llama.feed_forward_length");
  config.heads = file.integer("llama.attention.head_count");
  config.kv_heads = integer("llama.attention.head_count_kv", config.heads);
  config.head_dim = integer("llama.attention.key_length", config.heads > 0 ? config.hidden_size / config.heads : 0);
  config.rms_norm_eps = shortest(file.number("llama.attention.layer_norm_rms_epsilon"));
  config.rope_theta = number("llama.rope.freq_base", 10000);
  refuse_unless(integer("llama.attention.value_length", config.head_dim) == config.head_dim,
                "llama.attention.value_length", "the same as key_length");
  refuse_unless(integer("llama.rope.dimension_count", config.head_dim) == config.head_dim, "llama.rope.dimension_count",
                "the size of a head");
  refuse_unless(integer("llama.expert_count", 0) == 0, "llama.expert_count", "no experts");
  refuse_unless(integer("llama.attention.sliding_window", 0) == 0, "llama.attention.sliding_window", "no window");
  refuse_unless(integer("split.count", 1) <= 1, "split.count",
                "one file: join the parts with llama-gguf-split --merge FIRST-PART.gguf OUT.gguf");
  std::string scaling = file.find("llama.rope.scaling.type") ? file.text("llama.rope.scaling.type") : "none";
  double factor = number("llama.rope.scaling.factor", number("llama.rope.scale_linear", 1));
  refuse_unless(scaling == "none" || scaling == "linear", "llama.rope.scaling.type", "none or linear");
  if (factor != 1 && (scaling == "linear" || file.find("llama.rope.scale_linear")))
    config.rope_scaling = {.type = "linear", .factor = factor};
  check(config, where);
  if (const base::TensorView* factors = file.tensor("rope_freqs.weight")) {
    refuse_unless(config.rope_scaling.type == "default", "llama.rope.scaling.type", "none beside rope_freqs.weight");
    config.rope_scaling = scaling_from_factors(file, *factors, config);
  }
  config.tied_embeddings = !file.tensor("output.weight");
  config.attention_bias = file.tensor("blk.0.attn_q.bias") || file.tensor("blk.0.attn_output.bias");
  config.mlp_bias = file.tensor("blk.0.ffn_gate.bias") || file.tensor("blk.0.ffn_down.bias");
  config.bos = integer("tokenizer.ggml.bos_token_id", -1);
  config.eos = integer("tokenizer.ggml.eos_token_id", -1);
  config.pad = integer("tokenizer.ggml.padding_token_id", -1);
  check(config, where);
  return config;
}

std::string config_to_json(const ModelConfig& config, const std::string& dtype) {
  auto token = [](std::int64_t id) { return id < 0 ? json() : json(id); };
  bool is_mistral = config.architecture == "mistral";
  json object = {{"architectures", {is_mistral ? "MistralForCausalLM" : "LlamaForCausalLM"}},
                 {"model_type", config.architecture},
                 {"vocab_size", config.vocab_size},
                 {"hidden_size", config.hidden_size},
                 {"intermediate_size", config.intermediate_size},
                 {"num_hidden_layers", config.layers},
                 {"num_attention_heads", config.heads},
                 {"num_key_value_heads", config.kv_heads},
                 {"head_dim", config.head_dim},
                 {"hidden_act", "silu"},
                 {"max_position_embeddings", config.context_length},
                 {"rms_norm_eps", config.rms_norm_eps},
                 {"tie_word_embeddings", config.tied_embeddings},
                 {"attention_dropout", 0.0},
                 {"initializer_range", 0.02},
                 {"use_cache", true},
                 {"bos_token_id", token(config.bos)},
                 {"eos_token_id", token(config.eos)},
                 {"pad_token_id", token(config.pad)},
                 // transformers 4 reads torch_dtype, rope_theta and rope_scaling; 5 reads dtype and rope_parameters.
                 {"torch_dtype", dtype},
                 {"dtype", dtype},
                 {"rope_theta", config.rope_theta}};
  if (is_mistral) {
    object["sliding_window"] = nullptr;
  } else {
    object["attention_bias"] = config.attention_bias;
    object["mlp_bias"] = config.mlp_bias;
  }
  const RopeScaling& scaling = config.rope_scaling;
  json rope = {{"rope_type", scaling.type}};
  if (scaling.type != "default") rope["factor"] = scaling.factor;
  if (scaling.type == "llama3") {
    rope["low_freq_factor"] = scaling.low_freq_factor;
    rope["high_freq_factor"] = scaling.high_freq_factor;
    rope["original_max_position_embeddings"] = scaling.original_context;
  }
  object["rope_scaling"] = scaling.type == "default" ? json() : rope;
  rope["rope_theta"] = config.rope_theta;
  object["rope_parameters"] = rope;
  return object.dump(2) + "\n";
}

const std::vector<std::string>& linear_modules() {
  static const std::vector<std::string> kModules = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                    "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                                    "mlp.down_proj"};
  return kModules;
}

std::pair<std::int64_t, std::int64_t> linear_shape(const ModelConfig& config, const std::string& module) {
  std::int64_t query = config.heads * config.head_dim, key = config.kv_heads * config.head_dim;
  if (module == "self_attn.q_proj") return {query, config.hidden_size};
  if (module == "self_attn.k_proj" || module == "self_attn.v_proj") return {key, config.hidden_size};
  if (module == "self_attn.o_proj") return {config.hidden_size, query};
  if (module == "mlp.gate_proj" || module == "mlp.up_proj") return {config.intermediate_size, config.hidden_size};
  if (module == "mlp.down_proj") return {config.hidden_size, config.intermediate_size};
  throw base::Error({"not a linear module of a layer", "", module, base::join(linear_modules(), ", "), ""});
}

std::vector<std::string> expand_targets(const std::vector<std::string>& targets) {
  std::vector<std::string> suffixes;
  for (const std::string& module : linear_modules()) suffixes.push_back(module.substr(module.find('.') + 1));
  std::vector<bool> chosen(suffixes.size());
  for (const std::string& target : targets) {
    if (target == "all-linear") {
      chosen.assign(chosen.size(), true);
      continue;
    }
    auto found = std::find(suffixes.begin(), suffixes.end(), target);
    if (found == suffixes.end()) {
      std::string near = base::nearest(target, suffixes);
      throw base::UsageError({"unknown module", "targets", target, "all-linear, " + base::join(suffixes, ", "),
                              near.empty() ? "" : "did you mean '" + near + "'?"});
    }
    chosen[static_cast<std::size_t>(found - suffixes.begin())] = true;
  }
  if (targets.empty()) throw base::UsageError({"no module to train", "targets", "", "all-linear", ""});
  std::vector<std::string> result;
  for (std::size_t i = 0; i < suffixes.size(); ++i)
    if (chosen[i]) result.push_back(suffixes[i]);
  return result;
}

}  // namespace lora
